"""`hf-prune info` and `methods`: what lies where, and what there is."""

import json

import pytest
from datasets import Dataset, DatasetDict, load_from_disk

import hf_prune
from hf_prune.config import registered
from tests.hub_server import WRITER


@pytest.fixture
def coreset(run):
    """The selection of a pruned dataset in `coreset`, `coreset.csv` and, alone, in `selection`."""
    for output in ("coreset", "coreset.csv"):
        run("prune", "reviews.csv", "--method", "random", "--keep", 20, "--quotas", "equal", "--output", output)
    selection = load_from_disk("coreset").selection
    selection.save("selection")
    return selection


def test_selections(run, coreset):
    assert run("info", "selection").stdout == f"{coreset.summary()}\n"
    for place in ("coreset", "coreset.csv"):
        shown = run("info", place).stdout
        assert shown == f"split train: 20 rows; text (string), label (string)\n{coreset.summary()}\n"
    for place in ("selection", "coreset", "coreset.csv"):
        assert run("info", place, "--row", 12).stdout == f"{coreset.explain(12)}\n"
    document = json.loads(run("info", "selection", "--json").stdout)
    assert (document["kind"], document["rows"], document["kept"]) == ("selection", 60, 20)
    assert json.loads(run("info", "coreset", "--row", 12, "--json").stdout)["kept"] == coreset.kept[12]


def test_a_record_of_other_rows_is_refused(run, coreset, folder):
    lines = (folder / "coreset.csv").read_text().splitlines()
    (folder / "coreset.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    assert "hold other values or another row order" in run("info", "coreset.csv", code=1).stderr


@pytest.mark.parametrize("place", ["reviews", "reviews.csv"])
def test_a_selection_that_someone_saved_beside_its_source_is_not_of_its_rows(run, place):
    rows = Dataset.from_csv("reviews.csv")
    rows.save_to_disk("reviews")
    rows.prune("random", keep=60).selection.save(f"{place}.selection")
    assert run("info", place).stdout == "split train: 60 rows; text (string), label (string)\n"
    run("prune", place, "--method", "random", "--keep", 5, "--output", "coreset")
    assert len(load_from_disk("coreset").selection.steps) == 1


def test_dynamics(run):
    run_ = hf_prune.TrainingDynamics.load("run.safetensors")
    run_.to_parquet("run.parquet")
    for place in ("run.safetensors", "run.parquet"):
        assert run("info", place).stdout.splitlines() == [
            "training dynamics of 60 rows in 3 epochs, 100.0% seen",
            "  task single-label, signals loss, p_true, margin, correct, el2n",
        ]
        document = json.loads(run("info", place, "--json").stdout)
        assert (document["kind"], document["rows"], document["epochs"]) == ("dynamics", 60, 3)
    row = "info", "run.parquet", "--row"
    assert json.loads(run(*row, 4, "--json").stdout)["margin"] == run_["margin"][:, 4].tolist()
    assert run(*row, 4).stdout.startswith("row 4, epoch by epoch\n  loss: ")
    assert run(*row, 60, code=1).stderr == "error: --row: wanted the position of a row, below 60, got 60\n"


def test_data(run):
    assert run("info", "reviews.csv").stdout == "split train: 60 rows; text (string), label (string)\n"
    rows = Dataset.from_csv("reviews.csv").class_encode_column("label")
    DatasetDict(train=rows, test=rows.select(range(5))).save_to_disk("reviews")
    assert "split test: 5 rows; text (string), label (2 classes)" in run("info", "reviews").stdout
    assert json.loads(run("info", "reviews", "--json").stdout)["splits"]["test"]["rows"] == 5
    error = run("info", "reviews", "--row", 3, code=1).stderr
    assert error == "error: PATH: the rows of split 'train' in 'reviews' have no record that explains them\n"


def test_the_hub(run, coreset, hub):
    load_from_disk("coreset").push_to_hub("me/coreset", token=WRITER)
    hf_prune.TrainingDynamics.load("run.safetensors").push_to_hub("me/run", token=WRITER)
    Dataset.from_csv("reviews.csv").push_to_hub("me/reviews", token=WRITER)
    hub.requests.clear()
    assert run("info", "me/coreset").stdout == f"{coreset.summary()}\n"
    assert "row 12: " in run("info", "me/coreset", "--row", 12).stdout
    assert "training dynamics of 60 rows" in run("info", "me/run").stdout
    assert "split train: 60 rows; text (string), label (string)" in run("info", "me/reviews").stdout
    assert not any("data/train" in path and "resolve" in path and method == "GET" for method, path in hub.requests)
    assert "has no hf_prune/default/train/selection.json" in run("info", "me/reviews", "--row", 3, code=1).stderr
    assert "no dataset of this name on the Hub" in run("info", "me/nothing", code=1).stderr


def test_places_with_nothing(run):
    for place in ("nothing.safetensors", "no/such/file", "nothing.csv"):
        assert run("info", place, code=1).stderr == f"error: SOURCE: no file or folder {place!r}\n"


def test_methods(run):
    names = sorted(registered("method") | registered("score"))
    lines = run("methods").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *names]
    d2 = next(line for line in lines if line.startswith("d2 "))
    assert d2.endswith("  Keeps hard examples that represent others, no two of them alike.")
    by_name = {row["name"]: row for row in json.loads(run("methods", "--json").stdout)["methods"]}
    assert by_name["d2"]["needs"] == ["dynamics", "embeddings"]
    assert by_name["drop"]["needs"] == ["labels", "recalls"]
    assert by_name["image_text_similarity"]["needs"] == ["columns", "option model"]
    assert "k" in by_name["d2"]["options"]
    assert "gamma: how fast the reverse pass fades" in run("methods", "d2").stdout
    assert "no method 'd3'. Did you mean 'd2'?" in run("methods", "d3", code=1).stderr
