"""`hf-prune prune` and `apply`: the rows of the library's own calls, written whole with their record."""

import json
import shlex
import shutil

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, load_from_disk
from PIL.Image import new

import hf_prune
from hf_prune.cli.output import write_file
from hf_prune.sources.read import one_split, read_splits

RUN, VECTORS = "run.safetensors", "vectors.npy"


def rows_of(path):
    return one_split(read_splits(str(path)))


def test_the_rows_are_those_of_the_library(run, folder):
    run("prune", "reviews.csv", "--method", "d2", "--keep", 0.3, "--dynamics", "run.safetensors", "--embeddings",
        "vectors.npy", "--option", "k=5", "--quotas", "equal", "--output", "coreset.parquet")  # fmt: skip
    source = rows_of("reviews.csv")
    given = {"dynamics": "run.safetensors", "embeddings": np.load("vectors.npy")}
    wanted = source.prune("d2", keep=0.3, k=5, quotas="equal", **given)
    assert rows_of("coreset.parquet")[:] == wanted[:]
    record = hf_prune.Selection.load("coreset.parquet.selection")
    assert record.steps == wanted.selection.steps
    record.verify(rows_of("coreset.parquet"))


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        ("--method random --keep 7 --seed 3", {"method": "random", "keep": 7, "seed": 3}),
        ("--method given_scores --keep 7 --scores size", {"method": "given_scores", "keep": 7, "scores": "size"}),
        ("--method aum --keep 1.0 --dynamics run.parquet", {"method": "aum", "keep": 1.0, "dynamics": RUN}),
        (
            "--method el2n --keep 0.5 --dynamics run.safetensors --cutoff 0.1 --option 'epochs=[0, 2]'",
            {"method": "el2n", "keep": 0.5, "dynamics": RUN, "cutoff": 0.1, "epochs": (0, 2)},
        ),
        (
            """--method drop --keep 0.4 --recalls '{"good": 0.5, "bad": 0.9}' --option min-per-class=2""",
            {"method": "drop", "keep": 0.4, "recalls": {"good": 0.5, "bad": 0.9}, "min_per_class": 2},
        ),
        (
            """--method random --keep 0.4 --recalls recalls.json --quotas '{"rule": "drop", "temperature": 1}'""",
            {"method": "random", "keep": 0.4, "recalls": [0.7, 0.9], "quotas": hf_prune.DRoPQuotas(temperature=1)},
        ),
        (
            "--method random --keep 0.4 --by label --by site --quotas equal",
            {"method": "random", "keep": 0.4, "by": ("label", "site"), "quotas": "equal"},
        ),
        (
            "--method d2 --keep 9 --option score=forgetting --dynamics run.safetensors --embeddings vectors.npy",
            {"method": hf_prune.D2(score=hf_prune.Forgetting()), "keep": 9, "dynamics": RUN, "embeddings": VECTORS},
        ),
        (
            """--method '{"method": "by_score", "score": {"score": "given_scores"}}' --keep 9 --scores scores.npy""",
            {"method": hf_prune.ByScore(hf_prune.GivenScores()), "keep": 9, "scores": np.arange(60) % 7},
        ),
        (
            "--method random --keep 0.5 --unlabelled keep --label-column partly",
            {"method": "random", "keep": 0.5, "unlabelled": "keep", "label_column": "partly"},
        ),
    ],
)
def test_what_is_typed_is_what_the_call_gets(run, folder, typed, given):
    rows = rows_of("reviews.csv")
    columns = {"site": ["north", "south", "east"] * 20, "size": [row % 11 for row in range(60)]}
    columns["partly"] = ["a", None, "b"] * 20
    for name, values in columns.items():
        rows = rows.add_column(name, values)
    rows.to_parquet("reviews.parquet")
    hf_prune.TrainingDynamics.load("run.safetensors").to_parquet("run.parquet")
    (folder / "recalls.json").write_text("[0.7, 0.9]")
    np.save("scores.npy", np.arange(60) % 7)
    if given.get("embeddings") == VECTORS:
        given = given | {"embeddings": np.load(VECTORS)}
    run("prune", "reviews.parquet", *shlex.split(typed), "--output", "coreset")
    wanted = hf_prune.prune(rows_of("reviews.parquet"), **given).selection
    got = load_from_disk("coreset").selection
    np.testing.assert_array_equal(got.indices, wanted.indices)
    assert got.steps == wanted.steps


def test_the_answer(run):
    arguments = ["prune", "reviews.csv", "--method", "random", "--keep", "0.3", "--quotas", "equal", "--output"]
    text = run(*arguments, "coreset.csv")
    summary = hf_prune.Selection.load("coreset.csv.selection").summary()
    assert text.stdout == f"{summary}\nwritten to coreset.csv, the record to coreset.csv.selection\n"
    document = json.loads(run(*arguments, "coreset", "--json").stdout)
    assert document["output"] == "coreset"
    train = document["splits"]["train"]
    assert (train["rows"], train["kept"]) == (60, 18)
    assert [group["kept"] for group in train["groups"]] == [9, 9]
    assert train["steps"][0]["method"]["quotas"] == {"rule": "equal"}


def test_a_group_without_rows_is_json_too(run):
    rows = rows_of("reviews.csv").class_encode_column("label")
    rows = rows.filter(lambda row: row["label"] == 0)
    rows.save_to_disk("bad")
    printed = run(
        "prune", "bad", "--method", "random", "--keep", 9, "--quotas", "equal", "--output", "c", "--json"
    ).stdout
    assert "NaN" not in printed
    assert [group["density"] for group in json.loads(printed)["splits"]["train"]["groups"]][1] is None


def test_splits(run):
    rows = rows_of("reviews.csv")
    DatasetDict(train=rows, test=rows, other=rows.select(range(20))).save_to_disk("reviews")
    arguments = ["prune", "reviews", "--method", "random", "--keep", 0.5, "--output"]
    run(*arguments, "coreset")
    pruned = load_from_disk("coreset")
    assert {name: len(part) for name, part in pruned.items()} == {"train": 30, "test": 60, "other": 20}
    assert list(pruned.selection) == ["train"]
    assert "split test:" in run(*arguments, "both", "--split", "train", "--split", "test").stdout
    assert list(load_from_disk("both").selection) == ["train", "test"]
    run(*arguments, "other.csv", "--split", "other")
    assert len(rows_of("other.csv")) == 10
    error = run(*arguments, "both.csv", "--split", "train", "--split", "test", code=1).stderr
    assert error == "error: --output: a file holds one split, not ['train', 'test']; name a folder\n"
    assert "no split 'tset'" in run(*arguments, "tset", "--split", "tset", code=1).stderr
    DatasetDict(test=rows).save_to_disk("only")
    run("prune", "only", "--method", "random", "--keep", 5, "--output", "five")
    assert isinstance(load_from_disk("five"), Dataset)


def test_nothing_is_overwritten_unasked(run, folder):
    arguments = ["prune", "reviews.csv", "--method", "random", "--keep"]
    for output in ("coreset", "coreset.csv"):
        run(*arguments, 5, "--output", output)
        error = run(*arguments, 6, "--output", output, code=1).stderr
        assert error.endswith("is there already; name another, or pass --force to replace it\n")
        assert len(rows_of(output)) == 5
        run(*arguments, 6, "--output", output, "--force")
        assert len(rows_of(output)) == 6
    (folder / "coreset.csv").unlink()
    assert "'coreset.csv.selection' is there already" in run(*arguments, 5, "--output", "coreset.csv", code=1).stderr
    (folder / "coreset.jsonl.selection").mkdir()
    (folder / "coreset.jsonl.selection" / "mine.txt").write_text("mine")
    for force in ([], ["--force"]):
        run(*arguments, 5, "--output", "coreset.jsonl", *force, code=1)
    assert not (folder / "coreset.jsonl").exists()
    (folder / "empty").mkdir()
    run(*arguments, 5, "--output", "empty")
    (folder / "coreset" / "mine.txt").write_text("mine")
    assert (
        "holds something else than a saved dataset"
        in run(*arguments, 5, "--output", "coreset", "--force", code=1).stderr
    )
    assert "is the source itself" in run(*arguments, 5, "--output", "reviews.csv", "--force", code=1).stderr
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_what_can_not_be_written_is_refused_before_the_work(run, monkeypatch):
    monkeypatch.setattr("hf_prune.cli.prune.prune_splits", None)
    Dataset.from_dict({"x": [[1], [2]]}).save_to_disk("lists")
    arguments = ["prune", "lists", "--method", "random", "--keep", 1, "--output"]
    assert "a .csv file can't hold the column 'x'" in run(*arguments, "coreset.csv", code=1).stderr
    assert "wanted a name that ends in .parquet, .csv, .jsonl" in run(*arguments, "coreset.xlsx", code=1).stderr


def test_rows_and_record_come_together_or_not_at_all(run, folder, monkeypatch):
    arguments = ["prune", "reviews.csv", "--method", "random", "--output", "coreset.csv", "--force", "--keep"]
    run(*arguments, 5)

    def half(dataset, file, suffix):
        write_file(dataset.select(range(2)), file, suffix)
        raise OSError(28, "No space left on device", str(file))

    monkeypatch.setattr("hf_prune.cli.output.write_file", half)
    assert "can't write 'coreset.csv' (No space left on device)" in run(*arguments, 9, code=1).stderr
    hf_prune.Selection.load("coreset.csv.selection").verify(rows_of("coreset.csv"))
    assert len(rows_of("coreset.csv")) == 5
    assert [path for path in folder.iterdir() if path.name.startswith(".hf_prune")] == []


@pytest.mark.parametrize("first", ["first", "first.parquet", "first.csv"])
def test_what_is_pruned_can_be_pruned_again(run, first):
    run("prune", "reviews.csv", "--method", "random", "--keep", 20, "--output", first)
    run("prune", first, "--method", "random", "--keep", 5, "--seed", 1, "--output", "second")
    selection = load_from_disk("second").selection
    assert (len(selection.steps), selection.n) == (2, 60)
    assert selection.apply(rows_of("reviews.csv"))[:] == rows_of("second")[:]


def test_a_pruned_file_that_was_edited_is_a_source_of_its_own(run, folder):
    run("prune", "reviews.csv", "--method", "random", "--keep", 20, "--output", "first.csv")
    lines = (folder / "first.csv").read_text().splitlines()
    (folder / "first.csv").write_text("\n".join([*lines[:1], *lines[2:]]))
    run("prune", "first.csv", "--method", "random", "--keep", 5, "--output", "second")
    selection = load_from_disk("second").selection
    assert (len(selection.steps), selection.n) == (1, 19)


@pytest.mark.parametrize("output", ["coreset", "coreset.parquet"])
def test_a_folder_of_images(run, folder, output):
    for number in range(20):
        (folder / "pets" / ["cat", "dog"][number % 2]).mkdir(parents=True, exist_ok=True)
        new("RGB", (4, 4), color=(number, 0, 0)).save(folder / "pets" / ["cat", "dog"][number % 2] / f"{number}.png")
    run("prune", "pets", "--method", "random", "--keep", 0.3, "--quotas", "equal", "--output", output)
    shutil.rmtree("pets")
    rows = rows_of(output)
    assert rows.features["label"].names == ["cat", "dog"]
    assert sorted(rows["label"]) == [0, 0, 0, 1, 1, 1]
    assert [image.getpixel((0, 0))[0] % 2 for image in rows["image"]] == rows["label"][:]


@pytest.mark.parametrize("output", ["coreset", "coreset.parquet", "coreset.csv"])
def test_apply_repeats_it(run, output):
    run("prune", "reviews.csv", "--method", "random", "--keep", 20, "--output", output)
    document = json.loads(run("apply", output, "reviews.csv", "--output", "again.jsonl", "--json").stdout)
    assert rows_of("again.jsonl")[:] == rows_of(output)[:]
    assert (document["kept"], document["output"]) == (20, "again.jsonl")
    hf_prune.Selection.load("again.jsonl.selection").verify(rows_of("again.jsonl"))


def test_apply_wants_the_source_and_a_record(run):
    run("prune", "reviews.csv", "--method", "random", "--keep", 20, "--output", "coreset.csv")
    error = run("apply", "coreset.csv", "coreset.csv", "--output", "again", code=1).stderr
    assert error == "error: this selection was made for 60 rows, the dataset has 20\n"
    error = run("apply", "reviews.csv", "reviews.csv", "--output", "again", code=1).stderr
    assert error.startswith(
        "error: SELECTION: no record of a selection at 'reviews.csv'; wanted what `hf-prune prune`"
    )


def test_apply_by_ids(run, folder):
    rows = rows_of("reviews.csv").add_column("uid", range(100, 160))
    rows.prune("random", keep=20).selection.save("selection", id_column="uid")
    rows.select_columns("uid").to_csv("ids.csv")
    run("apply", "selection", "ids.csv", "--output", "coreset.csv", "--id-column", "uid")
    assert len(rows_of("coreset.csv")) == 20
