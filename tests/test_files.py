"""Files and folders that are written whole or not at all, at whatever step an error, Ctrl-C or a kill comes."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from datasets import Dataset

import hf_prune
from hf_prune import files
from hf_prune.files import standing, whole_file, whole_folder
from tests.processes.kills import At, killed_at, lines_of


@pytest.fixture
def path(tmp_path):
    """A folder that is to be replaced."""
    fill(tmp_path / "record", "old")
    return tmp_path / "record"


@pytest.fixture
def quick(monkeypatch):
    """A disk that says at once that everything has reached it."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def way(request, monkeypatch):
    """How one folder takes the place of another: as this disk can do it, and as those do that can't."""
    if request.param != "exchange":
        monkeypatch.setattr(files, "_exchanged", lambda one, other: False)


def fill(folder, text):
    folder.mkdir(exist_ok=True)
    for name in ("one", "two"):
        (folder / name).write_text(text)


RECORD = {"kind": "record", "is_one": lambda folder: {file.name for file in folder.iterdir()} <= {"one", "two"}}


def replace_folder(path, text="new"):
    with whole_folder(path, **RECORD) as folder:
        fill(folder, text)


def texts(folder):
    return {file.name: file.read_text() for file in folder.iterdir()}


def whole(text):
    return {"one": text, "two": text}


def names(folder):
    return [file.name for file in folder.iterdir()]


def failing(monkeypatch, owner, name, call):
    """Let one call of a function fail, 0 for the first."""
    function, calls = getattr(owner, name), []

    def fail(*args):
        calls.append(args)
        if len(calls) == call + 1:
            raise KeyboardInterrupt
        return function(*args)

    monkeypatch.setattr(owner, name, fail)


def interrupt():
    raise KeyboardInterrupt


def test_a_folder_is_replaced(path):
    replace_folder(path)
    assert texts(path) == whole("new")
    assert names(path.parent) == ["record"]


def test_a_folder_is_made_with_its_parents(tmp_path):
    replace_folder(tmp_path / "a" / "b")
    assert texts(tmp_path / "a" / "b") == whole("new")


@pytest.mark.parametrize("call", range(3), ids=["a file", "another file", "the folder"])
def test_a_disk_that_fails_leaves_the_old_folder(path, monkeypatch, call):
    failing(monkeypatch, os, "fsync", call)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(path)
    assert texts(path) == whole("old")


@pytest.mark.parametrize("typed", ["", ".", "..", "{cwd}", "../here/"])
@pytest.mark.parametrize("write", ["record", "selection"])
def test_the_working_folder_and_what_is_in_it_stay(tmp_path, monkeypatch, typed, write):
    """An empty path is the working folder for pathlib, and for os.path nothing that is there."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "thesis.txt").write_text("years of work")
    monkeypatch.chdir(here)
    selection = Dataset.from_dict({"x": range(9)}).prune("random", keep=3).selection
    with pytest.raises(hf_prune.ArgumentError, match=r"`path`: .*(got ''|exists and is no)"):
        replace_folder(typed.format(cwd=here)) if write == "record" else selection.save(typed.format(cwd=here))
    assert (here / "thesis.txt").read_text() == "years of work"
    assert names(tmp_path) == ["here"]
    assert names(here) == ["thesis.txt"]


def test_what_comes_there_meanwhile_stays(path):
    def replace():
        with whole_folder(path, **RECORD) as folder:
            fill(folder, "new")
            (path / "thesis.txt").write_text("years of work")

    with pytest.raises(hf_prune.ArgumentError, match="exists and is no record"):
        replace()
    assert texts(path) == whole("old") | {"thesis.txt": "years of work"}


@pytest.mark.parametrize("error", ["ENOSPC", "EROFS", "EACCES"])
def test_a_place_that_takes_nothing_is_an_error_of_ours(tmp_path, monkeypatch, error):
    number = getattr(errno, error)

    def fails(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    message = f"`path`: can't write '.*' \\({os.strerror(number)}\\); name another place"
    with pytest.raises(hf_prune.ArgumentError, match=message):
        replace_folder(tmp_path / "a")
    with pytest.raises(hf_prune.ArgumentError, match=message), whole_file(tmp_path / "b", suggested="b") as complete:
        complete.write_text("b")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["y" * 300, "file/x", "a\0b"])
def test_a_name_that_no_disk_takes_is_an_error_of_ours(tmp_path, name):
    (tmp_path / "file").touch()
    selection = Dataset.from_dict({"x": range(9)}).prune("random", keep=3).selection
    for write in (selection.save, replace_folder):
        with pytest.raises(hf_prune.ArgumentError, match=r"`path`: (can't write|wanted the path)"):
            write(f"{tmp_path}/{name}")
    for read in (hf_prune.Selection.load, hf_prune.TrainingDynamics.load, hf_prune.TrainingDynamics.from_parquet):
        with pytest.raises(hf_prune.ArgumentError, match=r"no selection.json in|no file at|is no file"):
            read(f"{tmp_path}/{name}")
    assert names(tmp_path) == ["file"]


def test_a_block_that_fails_leaves_the_old_folder(path):
    with pytest.raises(FileNotFoundError), whole_folder(path, **RECORD) as folder:
        (folder / "nowhere" / "one").write_text("half")
    assert texts(path) == whole("old")
    assert names(path.parent) == ["record"]


@pytest.mark.parametrize("way", ["exchange", "two renames"], indirect=True)
@pytest.mark.usefixtures("way", "quick")
def test_an_interrupt_at_any_line_leaves_the_old_folder_or_the_new(path):
    for line in range(lines_of(lambda: replace_folder(path, "old"), files)):
        with pytest.raises(KeyboardInterrupt), At(line, interrupt, files):
            replace_folder(path)
        assert texts(standing(path)) in (whole("old"), whole("new")), line
        replace_folder(path, "old")
        assert texts(path) == whole("old"), line
        assert names(path.parent) == ["record"], line


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed in a copy of this one")
@pytest.mark.parametrize("way", ["exchange", "two renames"], indirect=True)
@pytest.mark.usefixtures("way", "quick")
def test_a_kill_at_any_line_leaves_the_old_folder_or_the_new(path):
    for line in range(lines_of(lambda: replace_folder(path, "old"), files)):
        killed_at(line, lambda: replace_folder(path), files)
        assert texts(standing(path)) in (whole("old"), whole("new")), line
        replace_folder(path, "old")
        assert texts(path) == whole("old"), line
        assert names(path.parent) == ["record"], line


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed in a copy of this one")
@pytest.mark.usefixtures("quick")
def test_a_kill_at_any_line_leaves_the_old_file_or_the_new(tmp_path):
    def replace(text):
        with whole_file(tmp_path / "run", suggested="run") as complete:
            complete.write_text(text)

    for line in range(lines_of(lambda: replace("old"), files)):
        killed_at(line, lambda: replace("new"), files)
        assert (tmp_path / "run").read_text() in ("old", "new"), line
        replace("old")
        assert names(tmp_path) == ["run"], line


def test_several_writers_and_a_reader_at_once(path):
    code = f"""
import os
from hf_prune.files import whole_folder

os.fsync = lambda descriptor: None
for count in range(30):
    with whole_folder({str(path)!r}, kind='record', is_one=lambda folder: True) as folder:
        for name in ("one", "two"):
            (folder / name).write_text("new")"""
    writers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    while any(writer.poll() is None for writer in writers):
        assert path.is_dir()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert texts(path) == whole("new")
    assert names(path.parent) == ["record"]


def test_what_a_living_writer_has_beside_is_left_to_it(path):
    with whole_folder(path, **RECORD) as folder:
        replace_folder(path, "other")
        fill(folder, "new")
    assert texts(path) == whole("new")


@pytest.mark.usefixtures("quick")
def test_a_selection_that_is_replaced_while_it_is_read_is_one_of_the_two(tmp_path):
    ds = Dataset.from_dict({"x": range(9)})
    of = {len(selection): selection for selection in (ds.prune("random", keep=keep).selection for keep in (3, 6))}
    path, read = tmp_path / "record", set()
    of[3].save(path)

    def replace():
        for count in range(40):
            of[6 if count % 2 else 3].save(path)

    writer = threading.Thread(target=replace)
    writer.start()
    while writer.is_alive():
        loaded = hf_prune.Selection.load(path)
        assert loaded.indices.tolist() == of[len(loaded)].indices.tolist()
        read.add(len(loaded))
    writer.join()
    assert read == {3, 6}


def test_a_killed_save_is_found_when_the_selection_is_loaded(path):
    selection = Dataset.from_dict({"x": range(9)}).prune("random", keep=3).selection
    selection.save(path.with_name("saved"))
    path.with_name("saved").rename(path.with_name(".saved.hf_prune-old"))
    assert hf_prune.Selection.load(path.with_name("saved")).indices.tolist() == selection.indices.tolist()
    selection.save(path.with_name("saved"))
    assert sorted(names(path.parent)) == ["record", "saved"]


def test_a_link_to_a_folder_stays_a_link(path):
    link = path.with_name("link")
    link.symlink_to(path)
    replace_folder(link)
    assert link.is_symlink()
    assert texts(path) == whole("new")


def test_a_file_is_replaced_once_it_is_complete(tmp_path, monkeypatch):
    path = tmp_path / "run"
    for text in ("old", "new"):
        with whole_file(path, suggested="run") as complete:
            complete.write_text(text)
            assert not path.exists() or path.read_text() == "old"
    assert path.read_text() == "new"
    for owner, name in ((os, "fsync"), (Path, "replace")):
        with monkeypatch.context() as patch:
            failing(patch, owner, name, 0)
            with pytest.raises(KeyboardInterrupt), whole_file(path, suggested="run") as complete:
                complete.write_text("half")
        assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_no_file(tmp_path):
    wanted = r"wanted a file such as .*/run, got a folder"
    with pytest.raises(hf_prune.ArgumentError, match=wanted), whole_file(tmp_path, suggested="run"):
        pytest.fail("there is nothing to write to")
