"""The help: short, with examples that run; and the options are those of the library's calls."""

import inspect
import re
import shlex

import pytest
import typer

import hf_prune
from hf_prune.cli.app import SUBCOMMANDS, app
from hf_prune.cli.compare import compare
from hf_prune.cli.embed import embed
from hf_prune.cli.prune import prune
from hf_prune.cli.push import push
from hf_prune.cli.recommend import recommend
from hf_prune.embeddings.compute import embed as embed_rows
from tests import tiny_encoders
from tests.hub_server import WRITER

NAMES = [function.__name__ for function in SUBCOMMANDS]


def examples(help_text):
    joined = re.sub(r"\\\n\s*", "", help_text)
    return [line.strip() for line in joined.splitlines() if line.startswith("  hf-prune ")]


def test_all_commands_are_listed(run):
    commands = run("--help").stdout.partition("Commands:\n")[2]
    assert [line.split()[0] for line in commands.splitlines()] == NAMES
    assert "..." not in commands  # each is one short sentence
    assert run(code=2).output.startswith("Usage: hf-prune")


@pytest.mark.usefixtures("_trainer_libraries")
def test_examples_run(run, folder, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setattr("hf_prune.embeddings.compute.HF_HOME", str(folder.parent))
    tiny_encoders.bert(folder / "encoder")
    (folder / "vectors.npy").unlink()
    of_command = {name: examples(run(name, "--help").stdout) for name in NAMES}
    assert all(of_command.values())
    for name in ("embed", "prune", "apply", "info", "push", "methods", "compare", "recommend"):
        for example in of_command[name]:
            program, *arguments = shlex.split(example)
            assert program == "hf-prune"
            assert run(*arguments).stdout
    assert list(hub.repos) == ["me/reviews-d2-30"]
    assert len((folder / "coreset.csv").read_text().splitlines()) == 1 + 18


def defaults(function):
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.kind != inspect.Parameter.VAR_KEYWORD}


@pytest.mark.parametrize(
    ("command", "call", "of_python"),
    [
        (prune, hf_prune.prune, {"dataset"}),
        (embed, embed_rows, {"dataset", "processor", "cache_key", "cache_dir", "revision"}),
        (compare, hf_prune.compare, {"dataset", "train", "keep"}),
        (recommend, hf_prune.recommend, {"dataset", "confirm", "keep"}),
        (push, hf_prune.push_to_hub, {"dataset", "repo_id", "selection", "config_name", "token"}),
    ],
)
def test_options_are_those_of_the_library(command, call, of_python):
    wanted = {name: default for name, default in defaults(call).items() if name not in of_python}
    given = defaults(command)
    assert {name: given.get(name, "nothing") for name in wanted} == wanted


def test_every_option_says_what_it_is():
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        silent = [one.name for one in command.params if not (one.help or one.metavar or one.default is not None)]
        assert silent == [], name
