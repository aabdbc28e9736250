import pickle
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.config import _REGISTRY
from hf_prune.selection.evidence import put
from hf_prune.selection.record import write_record
from hf_prune.selection.selection import Selection
from hf_prune.signals.signals import Signals
from tests.methods.test_contract import METHODS, _clip, as_method, material  # noqa: F401
from tests.selection.made import seal, selection_of_rows

POINTS = np.array([[0.0], [1.0], [3.0], [10.0]])
SCORES = [4.0, 3.0, 2.0, 1.0]
# k = 1: edges 0-1, 1-2, 2-3 of length 1, 2, 7; the median is 2, so 0.5, 1 and 3.5.
A, B, C = np.exp([-0.5, -1.0, -3.5])
MESSAGE = np.array([3 * A, 4 * A + 2 * B, 3 * B + C, 2 * C])
DENSITY = MESSAGE + SCORES  # 5.82, 6.16, 3.13, 1.06: row 1 is picked first, and takes A and B times its own


@pytest.fixture
def ds():
    return Dataset.from_dict({"x": range(4)})


def d2(ds, keep, **options):
    return ds.prune("d2", keep=keep, k=1, scores=SCORES, embeddings=POINTS, **options).selection


def test_d2_by_hand(ds):
    evidence = d2(ds, 2).evidence
    np.testing.assert_allclose(evidence["message"], MESSAGE)
    np.testing.assert_allclose(evidence["density"], DENSITY)
    assert evidence["suppressed_by"].tolist() == [1, -1, 1, -1]
    np.testing.assert_allclose(evidence["suppression"], [A * DENSITY[1], 0, B * DENSITY[1], 0])
    left = DENSITY - evidence["suppression"]
    np.testing.assert_allclose(evidence["left"], left)


def test_words_for_d2(ds):
    selection = d2(ds, 2)
    step = "\n  d2(score=given_scores, k=1) kept 2 of 4 rows, seed 0\n  "
    assert selection.explain(1) == (
        f"row 1: kept, picked 1st of 2{step}score 3; its difficulty and that of the rows near it (3.162) "
        "add up to 6.162\n  6.162 was left when it was picked, more than of any other"
    )
    assert selection.explain(0) == (
        f"row 0: kept, picked 2nd of 2{step}score 4; its difficulty and that of the rows near it (1.82) "
        "add up to 5.82\n  row 1 is near it and was picked before, which took most: 3.737 of 5.82\n"
        "  2.082 was left when it was picked, more than of any other"
    )
    assert selection.explain(2) == (
        f"row 2: dropped{step}score 2; its difficulty and that of the rows near it (1.134) add up to 3.134\n"
        "  row 1 is near it and was picked before, which took most: 2.267 of 3.134\n"
        "  0.867 was left, and the last row picked had 2.082"
    )
    assert (
        "no row near it was picked before, but 1.06 was left, and the last row picked had 2.082"
        in selection.explain(3)
    )


def test_product_reports_the_factor(ds):
    evidence = d2(ds, 2, forward="product").evidence
    np.testing.assert_allclose(evidence["message"], MESSAGE)
    np.testing.assert_allclose(evidence["density"], MESSAGE * SCORES)


def test_a_smaller_budget_explains_with_the_larger_run(ds):
    smaller = d2(ds, 3).at(keep=2).at(keep=1)
    assert smaller.picked.tolist() == [1, 0, -1, 2]
    assert "row 3: dropped\n" in smaller.explain(3)
    assert "picked 3rd of 3 by the larger selection, too late for the 1 rows that at(keep=) left" in smaller.explain(3)
    assert "row 1 is near it and was picked before, which took most" in smaller.explain(2)


def test_a_suppressor_that_is_not_kept_any_more():
    far = Dataset.from_dict({"x": range(4)})
    points = np.array([[0.0], [1.0], [100.0], [101.0]])
    selection = far.prune("d2", keep=2, k=1, scores=[9.0, 1, 5, 1], embeddings=points).selection
    assert selection.order.tolist() == [0, 2]
    taker = "row 2, which the larger selection of 2 kept, is near it and was picked before"
    assert taker in selection.at(keep=1).explain(3)
    assert "row 2 is near it and was picked before, which took most" in selection.explain(3)


def test_positions_of_a_part_become_those_of_the_whole():
    whole = {}
    put(whole, {"suppressed_by": np.array([1, -1]), "left": np.array([0.5, 2.0])}, np.array([3, 1]), 4)
    put(whole, {"suspect": np.array([True])}, np.array([0]), 4)
    assert whole["suppressed_by"].tolist() == [-1, -1, -1, 1]
    np.testing.assert_array_equal(whole["left"], [np.nan, 2.0, np.nan, 0.5])
    assert whole["suspect"].tolist() == [True, False, False, False]


def test_pools_and_chains_name_rows_of_the_source():
    # Rows 1, 3, 5 and 7 are POINTS, once as a class and once as what an earlier step kept.
    points, scores = np.repeat(POINTS, 2, axis=0) + [[1000.0], [0.0]] * 4, np.repeat(SCORES, 2)
    ds = Dataset.from_dict({"x": range(8), "label": [0, 1] * 4})
    options = {"k": 1, "embeddings": points, "scores": scores}
    pooled = ds.prune("d2", keep=4, quotas="equal", **options).selection
    assert pooled.evidence["suppressed_by"].tolist() == [2, 3, -1, -1, 2, 3, -1, -1]
    assert "group '1': 2 of 4 rows kept" in pooled.explain(5)
    assert "the last row picked had 2.082" in pooled.explain(5)

    first = ds.prune("given_scores", keep=4, scores=[0, 1] * 4)
    chained = first.prune("d2", keep=2, k=1, embeddings=POINTS, scores=SCORES).selection
    assert chained.evidence["suppressed_by"].tolist() == [-1, 3, -1, -1, -1, 3, -1, -1]
    np.testing.assert_array_equal(chained.evidence["density"][::2], np.nan)
    assert (
        chained.explain(0)
        == "row 0: dropped\n  by the first step: by_score(given_scores, prefer='hard') kept 4 of 8 rows, seed 0"
    )
    assert "row 3 is near it and was picked before, which took most: 2.267 of 3.134" in chained.explain(5)


def test_a_suspect_row():
    method = hf_prune.WithoutSuspects(hf_prune.Random(), 0.5)
    marked = selection_of_rows([1], np.ones(2), method=method, evidence={"suspect": np.array([True, False])})
    assert "left out as suspect or unlearnable (cutoff)" in marked.explain(0)
    assert "suspect" not in marked.explain(1).split("seed 0")[1]


def test_a_suspect_row_that_the_budget_needed():
    ds = Dataset.from_dict({"label": [0] * 6})
    logits = np.zeros((1, 6, 2))
    logits[0, :, 0] = [-3, -2, 1, 1, 1, 1]  # rows 0 and 1 have the lowest margins
    run = hf_prune.TrainingDynamics.from_logits(logits, [0] * 6)
    selection = ds.prune("random", keep=5, cutoff=0.34, dynamics=run).selection
    assert "kept although suspect" in selection.explain(1)  # the less suspect of the two
    assert "left out as suspect or unlearnable (cutoff)" in selection.explain(0)


def test_what_the_last_step_held_back_unscored_is_not_laid_on_the_first():
    @dataclass(frozen=True)
    class Unscored(hf_prune.Method):
        def select(self, signals, budget, seed):
            return hf_prune.Choice(np.arange(budget), np.zeros(len(signals)))

    Unscored.name = "unscored"  # not in the class body, which would register it
    ds = Dataset.from_dict({"label": [0] * 6})
    run = hf_prune.TrainingDynamics.from_logits(
        np.array([[[-3, 0], [-2, 0], [1, 0], [2, 0], [3, 0], [4, 0]]]), [0] * 6
    )
    first = ds.prune("aum", keep=5, prefer="hard", dynamics=run)
    selection = first.prune(hf_prune.WithoutSuspects(Unscored(), 0.4), keep=2, dynamics=run).selection
    assert selection.indices.tolist() == [2, 3]
    assert "first step" not in selection.explain(0)


def test_a_chain_of_three_steps():
    ds, scores = Dataset.from_dict({"x": range(8)}), np.arange(8.0)
    first = ds.prune("given_scores", keep=6, scores=scores)
    second = first.prune("given_scores", keep=4, scores=scores[2:])
    selection = second.prune("given_scores", keep=2, scores=scores[4:]).selection
    assert selection.indices.tolist() == [6, 7]
    assert "the 3rd highest of 4; the last row kept has 6" in selection.explain(5)
    for row in (0, 3):
        assert selection.explain(row).startswith(f"row {row}: dropped\n  by one of the first 2 steps")


def test_scores_and_keys(ds):
    scored = ds.prune("given_scores", keep=2, scores=SCORES).selection
    assert "score 1, the 4th highest of 4; the last row kept has 3" in scored.explain(3)
    drawn = ds.prune("random", keep=1).selection
    kept, dropped = drawn.scores.min(), drawn.scores[3]
    assert f"key {dropped:.4g}, lowest first; the last row kept has {kept:.4g}" in drawn.explain(3)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_every_row_of_every_method(method, tmp_path):
    shown = material(as_method("method", method))
    selection = shown.dataset(method.needs).prune(method, keep=13, **shown.passed(method.needs)).selection
    selection.save(tmp_path / "s")
    for made in (
        selection,
        selection.at(keep=5),
        Selection.load(tmp_path / "s"),
        pickle.loads(pickle.dumps(selection)),
    ):
        for row in range(shown.n):
            state = "kept, picked" if row in made.indices else "dropped"
            assert made.explain(row).startswith(f"row {row}: {state}")


def test_saved_and_loaded(ds, tmp_path):
    selection = d2(ds, 3).at(keep=2)
    selection.save(tmp_path / "s")
    loaded = Selection.load(tmp_path / "s")
    assert {name: values.dtype for name, values in loaded.evidence.items()} == {
        name: values.dtype for name, values in selection.evidence.items()
    }
    for name, values in selection.evidence.items():
        np.testing.assert_allclose(loaded.evidence[name], values, rtol=1e-7)
    assert [loaded.explain(row) for row in range(4)] == [selection.explain(row) for row in range(4)]
    saved = pq.read_schema(tmp_path / "s" / "selection.parquet")
    assert (saved.field("evidence.left").type, saved.field("evidence.suppressed_by").type) == (
        pa.float32(),
        pa.int32(),
    )


def test_amounts_beyond_float32_are_saved_whole(tmp_path):
    selection_of_rows([1], np.ones(2), evidence={"left": np.array([1e300, 1])}).save(tmp_path / "s")
    assert Selection.load(tmp_path / "s").evidence["left"].tolist() == [1e300, 1]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("suppressed_by", pa.array([0, 4, 0, 0]), "names rows that are not there"),
        ("suppressed_by", pa.array([0, -2, 0, 0]), "names rows that are not there"),
        ("suppressed_by", pa.array([0.0, 1, 0, 0]), "holds double or nulls, wanted positions"),
        ("left", pa.array(["a"] * 4), "holds string, wanted numbers or marks"),
        ("left", pa.array([1.0, None, 1, 1]), "holds double or nulls, wanted amounts"),
    ],
)
def test_hostile_evidence_is_refused(ds, tmp_path, name, values, message):
    d2(ds, 3).at(keep=2).save(tmp_path / "s")
    file = tmp_path / "s" / "selection.parquet"
    table = pq.read_table(file)
    column = f"evidence.{name}"
    pq.write_table(table.set_column(table.column_names.index(column), column, values), file)
    seal(file.parent)
    with pytest.raises(hf_prune.ArgumentError, match=f"damaged: .*{message}"):
        Selection.load(tmp_path / "s")


@pytest.mark.parametrize("picked", [[2**40] * 4, [-(2**40)] * 4, [True] * 4, [0.0] * 4, [0, None, 1, 2]])
def test_a_hostile_place_is_refused(ds, tmp_path, picked):
    d2(ds, 3).at(keep=2).save(tmp_path / "s")
    file = tmp_path / "s" / "selection.parquet"
    table = pq.read_table(file)
    at = table.column_names.index("picked")
    pq.write_table(table.set_column(at, "picked", pa.array(picked)), file)
    seal(file.parent)
    with pytest.raises(hf_prune.ArgumentError, match=r"damaged: .*picking order|damaged: 'picked' holds"):
        Selection.load(tmp_path / "s")


@pytest.mark.parametrize("row", [-1, 4, True, 1.0, "1"])
def test_no_such_row(ds, row):
    with pytest.raises(hf_prune.HFPruneError, match=r"`i`: wanted "):
        d2(ds, 2).explain(row)


def test_evidence_of_a_pool_too_small_for_a_graph():
    given = Signals(1, {"embeddings": np.zeros((1, 2)), "scores": np.ones(1)})
    assert hf_prune.D2(score=hf_prune.GivenScores()).select(given, 1, 0).evidence == {}
    alone = Dataset.from_dict({"x": [0]}).prune("d2", keep=1, scores=[1.0], embeddings=[[0.0]]).selection
    assert alone.explain(0).startswith("row 0: kept, picked 1st of 1")


def test_a_compact_record_explains_with_the_larger_run(ds, tmp_path):
    smaller = d2(ds, 3).at(keep=2).at(keep=1)
    write_record(tmp_path / "s", smaller, compact=True)
    loaded = Selection.load(tmp_path / "s")
    np.testing.assert_array_equal(loaded.picked, smaller.picked)
    assert "picked 3rd of 3 by the larger selection, too late for the 1 rows that at(keep=) left" in loaded.explain(3)


def test_a_method_of_a_package_that_is_not_imported(ds, tmp_path, monkeypatch):
    selection = d2(ds, 2)
    selection.save(tmp_path / "s")
    methods = {name: cls for name, cls in _REGISTRY["method"].items() if name != "d2"}
    monkeypatch.setitem(_REGISTRY, "method", methods)
    loaded = Selection.load(tmp_path / "s")
    assert loaded.apply(ds)["x"][:] == selection.indices.tolist()
    for words in (loaded.summary(), loaded.explain(2)):
        assert "\n  the method is of a package that is not imported here: what only it can tell is left out" in words
    assert "score 2, the 3rd highest of 4; the last row kept has 4" in loaded.explain(2)


def test_d2_is_never_explained_by_the_rank_of_a_score(ds, tmp_path):
    write_record(tmp_path / "s", d2(ds, 2), compact=True, explain=False)
    words = Selection.load(tmp_path / "s").explain(2)
    assert words.endswith("score 2; what D2 made of it is not on record: push with explain=True to keep that")
