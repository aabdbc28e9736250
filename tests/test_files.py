"""Files and folders that are written whole or not at all, at whatever step an error or a kill comes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

import hf_prune
from hf_prune.files import put_back, whole_file, whole_folder

RENAMES = ["the old one away", "the new one in"]


@pytest.fixture
def path(tmp_path):
    """A folder that is to be replaced."""
    fill(tmp_path / "record", "old")
    return tmp_path / "record"


def fill(folder, text):
    folder.mkdir(exist_ok=True)
    for name in ("one", "two"):
        (folder / name).write_text(text)


def replace_folder(path):
    with whole_folder(path) as folder:
        fill(folder, "new")


def texts(folder):
    return {file.name: file.read_text() for file in folder.iterdir()}


def whole(text):
    return {"one": text, "two": text}


def failing(monkeypatch, owner, name, call):
    """Let one call of a function fail, 0 for the first."""
    function, calls = getattr(owner, name), []

    def fail(*args):
        calls.append(args)
        if len(calls) == call + 1:
            raise KeyboardInterrupt
        return function(*args)

    monkeypatch.setattr(owner, name, fail)


def test_a_folder_is_replaced(path):
    replace_folder(path)
    assert texts(path) == whole("new")
    assert [file.name for file in path.parent.iterdir()] == ["record"]


def test_a_folder_is_made_with_its_parents(tmp_path):
    replace_folder(tmp_path / "a" / "b")
    assert texts(tmp_path / "a" / "b") == whole("new")


@pytest.mark.parametrize("call", range(2), ids=RENAMES)
def test_a_rename_that_fails_leaves_the_old_folder(path, monkeypatch, call):
    failing(monkeypatch, Path, "rename", call)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(path)
    assert texts(path) == whole("old")
    assert [file.name for file in path.parent.iterdir()] == ["record"]


@pytest.mark.parametrize("call", range(3), ids=["a file", "another file", "the folder"])
def test_a_disk_that_fails_leaves_the_old_folder(path, monkeypatch, call):
    failing(monkeypatch, os, "fsync", call)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(path)
    assert texts(path) == whole("old")


def test_a_block_that_fails_leaves_the_old_folder(path):
    with pytest.raises(FileNotFoundError), whole_folder(path) as folder:
        (folder / "nowhere" / "one").write_text("half")
    assert texts(path) == whole("old")
    assert [file.name for file in path.parent.iterdir()] == ["record"]


@pytest.mark.parametrize(("calls", "left"), [(0, "old"), (1, "old"), (2, "new")])
def test_a_kill_leaves_the_old_folder_or_the_new(path, calls, left):
    code = f"""
import os
from pathlib import Path
from hf_prune.files import whole_folder

rename, done = Path.rename, []

def rename_or_die(*args):
    if len(done) == {calls}:
        os._exit(9)
    done.append(rename(*args))
    if len(done) == 2:
        os._exit(9)

Path.rename = rename_or_die
with whole_folder({str(path)!r}) as folder:
    for name in ("one", "two"):
        (folder / name).write_text("new")"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    put_back(path)
    assert texts(path) == whole(left)
    replace_folder(path)
    assert texts(path) == whole("new")


def test_a_killed_save_is_mended_when_the_selection_is_loaded(path):
    selection = Dataset.from_dict({"x": range(9)}).prune("random", keep=3).selection
    selection.save(path.with_name("saved"))
    path.with_name("saved").rename(path.with_name(".saved.hf_prune-old"))
    assert hf_prune.Selection.load(path.with_name("saved")).indices.tolist() == selection.indices.tolist()


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
