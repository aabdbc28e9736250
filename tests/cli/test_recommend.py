"""`hf-prune compare` and `hf-prune recommend`: the library's answers, and the coreset whole with its record."""

import json

import numpy as np
import pytest
from datasets import Dataset, load_from_disk

import hf_prune

N = 1200


@pytest.fixture
def apart(folder):
    """Two classes that a linear classifier tells apart, with a vector for each row."""
    labels = np.arange(N) % 2
    points = np.random.default_rng(0).normal(size=(N, 3)) + 6 * labels[:, None]
    np.save(folder / "points.npy", points.astype(np.float32))
    lines = [f"row {row},{'ab'[label]},{'xy'[row // 2 % 2]}" for row, label in enumerate(labels)]
    (folder / "apart.csv").write_text("\n".join(["text,label,site", *lines]) + "\n")
    return np.load(folder / "points.npy")


def rows():
    return Dataset.from_csv("apart.csv")


RECOMMEND = ("recommend", "apart.csv", "--embeddings", "points.npy", "--seeds", 1, "--methods", "random")


def test_compare_is_the_library_s(run, apart):
    arguments = ("compare", "apart.csv", "--embeddings", "points.npy", "--methods", "d2", "--keep", 0.5, "--seeds", 1)
    wanted = hf_prune.compare(rows(), ["d2"], keep=[0.5], seeds=1, embeddings=apart)
    assert run(*arguments).stdout == wanted.table() + "\n"
    document = json.loads(run(*arguments, "--json").stdout)
    assert {result["method"] for result in document["results"]} == {"all rows", *wanted.methods}


def test_other_rows_to_test_on(run, apart, folder):
    rows().select(range(0, N, 3)).to_csv(folder / "test.csv")
    np.save(folder / "test.npy", apart[::3])
    run(
        *("compare", "apart.csv", "--embeddings", "points.npy", "--methods", "random", "--keep", 0.1, "--seeds", 1),
        *("--test", "test.csv", "--test-embeddings", "test.npy"),
    )


@pytest.mark.parametrize("output", ["smallest", "smallest.csv"])
def test_a_certified_coreset_is_written_with_its_record(run, apart, output):
    answer = hf_prune.recommend(rows(), max_loss=0.05, methods=["random"], seeds=1, embeddings=apart)
    assert answer.verdict == "prune"
    done = run(*RECOMMEND, "--max-loss", 0.05, "--output", output)
    assert done.stdout.startswith(str(answer))
    written = load_from_disk(output) if output == "smallest" else Dataset.from_csv(output)
    assert written["text"][:] == answer.coreset["text"][:]
    record = written.selection if output == "smallest" else hf_prune.Selection.load(f"{output}.selection")
    assert record.indices.tolist() == answer.coreset.selection.indices.tolist()
    document = json.loads(run(*RECOMMEND, "--max-loss", 0.05, "--json").stdout)
    assert (document["verdict"], document["keep"]) == ("prune", answer.keep)
    assert document["tested"][0]["certificates"][0]["rows"] > 100


def test_an_answer_that_is_none_writes_nothing(run, apart, folder):
    done = run(*RECOMMEND, "--max-loss", 0.0001, "--output", "smallest.csv")
    assert "Can't say" in done.stdout
    assert done.stdout.endswith("nothing is written to smallest.csv\n")
    assert not (folder / "smallest.csv").exists()
    by_group = run(*RECOMMEND, "--max-loss", 0.1, "--on", "worst_group", "--by", "site", "--by", "label", "--json")
    assert len(json.loads(by_group.stdout)["tested"][0]["certificates"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-loss", 2), "--max-loss: wanted"),
        (("--max-loss", 0.1, "--on", "median"), "--on"),
        (("--max-loss", 0.1, "--on", "worst_group"), "--by"),
        (("--max-loss", 0.1, "--test", "nowhere"), "nowhere"),
    ],
)
def test_what_can_not_be_asked_is_one_line(run, apart, arguments, message):
    (line,) = run(*RECOMMEND, *arguments, code=1).stderr.strip().splitlines()[-1:]
    assert line.startswith("error: ")
    assert message in line
