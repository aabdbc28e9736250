"""The program as a process: what it imports, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hf_prune

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "hf_prune"]
PRUNE = ["prune", "reviews.csv", "--method", "random", "--keep", "0.3", "--output"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch, folder):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(folder.parent / ".cache"))


def test_json_into_another_program(folder):
    pruned = subprocess.run([*PROGRAM, *PRUNE, "coreset", "--json"], capture_output=True, text=True, check=True)
    tool = [sys.executable, "-m", "json.tool", "--compact"]
    checked = subprocess.run(tool, input=pruned.stdout, capture_output=True, text=True, check=True).stdout
    assert json.loads(checked)["splits"]["train"]["kept"] == 18
    assert hf_prune.Selection.load(folder / "coreset" / "hf_prune").n == 60


def test_exit_codes_and_no_traceback(folder):
    for arguments, code in ((["methods"], 0), ([*PRUNE, "coreset.xlsx"], 1), (["prune"], 2)):
        done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert bool(done.stdout) == (code == 0)
    debugged = subprocess.run([*PROGRAM, *PRUNE, "c.xlsx", "--debug"], capture_output=True, text=True, check=False)
    assert "Traceback" in debugged.stderr


def test_an_error_is_one_line(folder):
    (folder / "reviews.csv").write_text("text,label\none,two\none,two,three\n")
    done = subprocess.run([*PROGRAM, *PRUNE, "coreset"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: SOURCE: can't read 'reviews.csv': Error tokenizing data.")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["methods", "--json"], ["prune", "--help"]])
def test_a_closed_pipe_ends_in_silence(arguments):
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


def test_ctrl_c_leaves_nothing(folder):
    code = """
import sys, time
import hf_prune.cli.app, hf_prune.cli.output
def write_half(dataset, file, suffix):
    file.write_text("text")
    print("half", file=sys.stderr, flush=True)
    time.sleep(60)
hf_prune.cli.output.write_file = write_half
hf_prune.cli.app.main()"""
    before = sorted(folder.iterdir())
    command = [sys.executable, "-c", code, *PRUNE, "coreset.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while "half" not in process.stderr.readline():
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        output, error = process.communicate()
    assert (process.returncode, output, error) == (130, "", "")
    assert sorted(folder.iterdir()) == before


def test_the_library_does_not_import_it_and_help_stays_light():
    code = "import sys, hf_prune; print([name for name in sys.modules if 'typer' in name or 'hf_prune.cli' in name])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    code = """
import sys
from hf_prune.cli.app import app
app(["prune", "--help"], standalone_mode=False)
heavy = {"torch", "transformers", "faiss", "evaluate", "matplotlib", "rich"}
heavy -= {"rich"} if "httpx" in sys.modules else set()  # which imports it, and datasets 4 imports httpx
print(heavy & set(sys.modules))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_entry_point():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"hf-prune": "hf_prune.cli.app:main"}
