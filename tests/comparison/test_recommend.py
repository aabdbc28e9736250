"""The recommendation: what it says where the truth is known, and that nothing which certifies has a say before."""

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.comparison.certify import Certificate, certify, fewest_rows, rows_needed
from hf_prune.comparison.parts import split_by_class
from hf_prune.comparison.proxy import Proxy
from hf_prune.comparison.recommend import _best
from hf_prune.comparison.recommendation import Recommendation, SizeTest
from tests.comparison.animals import blobs

EASY = {"methods": ["random"], "keep": [0.3, 0.6], "seeds": 1}


def recommended(n=2000, spread=1.0, **changed):
    dataset, points = blobs(n, spread=spread)
    return dataset, hf_prune.recommend(dataset, **{"max_loss": 0.05, "embeddings": points} | EASY | changed)


def test_an_easy_task_is_pruned():
    _, answer = recommended()
    assert (answer.verdict, answer.keep, answer.rows) == ("prune", 0.3, 1200)
    assert [(tested.keep, tested.kept, tested.passed) for tested in answer.tested] == [
        (0.6, 720, True),
        (0.3, 360, True),
    ]
    (one,) = answer.tested[1].certificates
    assert one.rows == 600
    assert one.limit < 0.05
    assert str(answer).startswith(
        f"Keep 360 of 1,200 rows (30%) by {answer.method!r}: against all rows a model loses at most 5 points on "
        "average, at 95% confidence."
    )
    assert "It holds for the proxy" in str(answer)
    assert answer.rows_needed is None


def test_the_coreset_is_of_the_dataset_and_can_be_repeated(tmp_path):
    dataset, answer = recommended()
    coreset, selection = answer.coreset, answer.coreset.selection
    assert coreset["row"][:] == selection.indices.tolist()
    assert selection.n == 2000
    selection.save(tmp_path / "selection")
    again = hf_prune.Selection.load(tmp_path / "selection").apply(dataset)
    assert again["row"][:] == coreset["row"][:]
    assert "360 of 2,000 rows kept" in selection.summary()
    assert answer.arguments["keep"] == 0.3


def test_with_a_dataset_to_hold_out_the_arguments_repeat_the_coreset():
    (dataset, points), (test, test_points) = blobs(800), blobs(2000, seed=1)
    answer = hf_prune.recommend(
        dataset, max_loss=0.05, **EASY, embeddings=points, test=test, test_embeddings=test_points
    )
    assert answer.rows == 800
    if "cutoff" not in answer.arguments:
        assert dataset.prune(**answer.arguments)["row"][:] == answer.coreset["row"][:]


def test_too_few_rows_are_refused_with_a_number():
    _, answer = recommended(max_loss=0.004)
    assert (answer.verdict, answer.coreset, answer.keep, answer.method) == ("can't say", None, None, None)
    assert answer.rows_needed > 600
    assert str(answer).startswith(
        "Can't say: too few held-out rows to promise a loss of at most 0.4 points on average"
    )
    assert f"It takes about {answer.rows_needed:,} that certify; there are 600, which could certify a" in str(answer)


def test_as_many_rows_as_were_named_are_enough_for_models_that_agree():
    full = np.ones(5000, dtype=bool)
    few = certify(full[:100], full[:100], 0.02)
    assert not few.passed
    assert certify(full[: few.rows_for(0.8)], full[: few.rows_for(0.8)], 0.02).passed


def test_of_several_classes_so_many_rows_are_named_that_all_pass_together():
    certificates = tuple(Certificate(name, 100, 5, 5, 0.05, 0.95, 0.3) for name in "abcd")
    answer = Recommendation("can't say", "worst_class", 0.05, 0.95, 100, (SizeTest("d2", 0.5, 50, certificates),), {})
    assert answer.rows_needed == 4 * rows_needed(11 / 101, 0.05, power=0.8**0.25)


def test_nothing_is_trained_where_no_test_could_pass(monkeypatch):
    monkeypatch.setattr(Proxy, "predictions", lambda *given: pytest.fail("trained"))
    _, answer = recommended(n=500, max_loss=0.05, on="worst_class")
    assert answer.verdict == "can't say"
    assert answer.tested[0].method is None
    (owls,) = (one for one in answer.tested[0].certificates if one.name == "owl")
    assert owls.rows < fewest_rows(0.05) == 59
    assert f"there are {owls.rows} held-out rows of owl, and with fewer than 59 no test certifies" in str(answer)


def test_where_much_is_lost_it_says_not_to_prune():
    _, answer = recommended(n=4000, spread=2, keep=[2], max_loss=0.02)
    assert (answer.verdict, answer.coreset, answer.promised) == ("don't prune", None, None)
    assert str(answer).startswith("Don't prune: keeping 2 loses more than 2 points on average")


def test_rows_that_speak_against_the_limit():
    kept = SizeTest("random", 0.5, 50, (Certificate("all", 1000, 120, 30, 0.02, 0.95, 1.0),))
    assert kept.is_refuted
    answer = Recommendation("don't prune", "average", 0.02, 0.95, 100, (kept,), {})
    assert str(answer).splitlines() == [
        "Don't prune: keeping 50% loses more than 2 points on average, at 95% confidence.",
        "  50% (50 rows) by 'random': not certified; of 1,000 held-out rows 120 are right with all rows alone, 30 "
        "with these alone, a loss of 9 points",
    ]
    # A few rows of one class that happen to be lost say nothing.
    assert not SizeTest("random", 0.5, 50, (Certificate("owl", 30, 2, 1, 0.02, 0.95, 0.7),)).is_refuted
    # Many rows that lose less than the limit are not against it.
    assert not SizeTest("random", 0.5, 50, (Certificate("all", 20000, 300, 50, 0.0126, 0.95, 0.4),)).is_refuted


def test_rows_that_would_be_enough_for_no_loss_are_named_for_the_loss_that_was_seen():
    half = Certificate("all", 5000, 300, 250, 0.02, 0.95, 0.1)
    assert half.rows_for() == rows_needed(551 / 5001, 0.02, loss=0.01) > 5000
    few = Certificate("all", 500, 30, 25, 0.02, 0.95, 0.1)
    assert few.rows_for() == rows_needed(56 / 501, 0.02) > 500


def test_the_method_that_stays_within_half_of_the_limit_down_to_the_smallest_size_is_proposed():
    sizes = [0.9, 0.5, 0.1]
    losses = {
        "lucky in the middle": (0.02, -0.05, 0.04),
        "best": (0.001, 0.009, 0.05),
        "as far, and worse": (0.002, 0.009, 0.06),
        "only the largest": (-0.01, 0.011, 0.0),
    }
    proposals = {(name, size): loss for name, row in losses.items() for size, loss in zip(sizes, row, strict=True)}
    assert _best(proposals, {name: {} for name in losses}, sizes, 0.02) == ("best", 0.5)
    nothing = dict.fromkeys(proposals, 0.1)
    assert _best(nothing, {name: {} for name in losses}, sizes, 0.02) == ("lucky in the middle", 0.9)


def test_sizes_after_one_that_fails_are_not_tested(monkeypatch):
    """A smaller size that would pass is not promised after a larger one has failed."""
    dataset, points = blobs(2000)
    predictions = Proxy.predictions

    def spoilt(self, rows, held_out, seed, share=1.0):
        predicted = predictions(self, rows, held_out, seed, share)
        if len(rows) == 720 and len(held_out) == 600:  # the size in the middle, on the rows that certify
            predicted[:] = 0
        return predicted

    monkeypatch.setattr(Proxy, "predictions", spoilt)
    answer = hf_prune.recommend(dataset, max_loss=0.05, embeddings=points, **EASY | {"keep": [0.3, 0.6, 0.9]})
    assert [tested.keep for tested in answer.tested] == [0.9, 0.6]
    assert (answer.verdict, answer.keep, len(answer.coreset)) == ("prune", 0.9, 1080)


def test_rows_that_certify_have_no_say_in_what_is_proposed(monkeypatch):
    """Other labels of the certifying rows change no proposal, no method and no coreset."""
    dataset, points = blobs(2000)
    seen = []
    predictions = Proxy.predictions
    monkeypatch.setattr(
        Proxy,
        "predictions",
        lambda self, rows, held_out, *rest: (
            seen.append((len(held_out), rows.tolist())) or predictions(self, rows, held_out, *rest)
        ),
    )
    given = {"max_loss": 0.05, "seeds": 1, "keep": [0.5], "methods": ["d2", "el2n"]}
    first = hf_prune.recommend(dataset, embeddings=points, **given)
    proposed, (certifying, _) = seen[:-2], seen[-1]
    assert certifying == 600
    seen.clear()
    held, _ = split_by_class(np.array(dataset["label"]), 0.4)
    _, certify = split_by_class(np.array(dataset["label"])[held], 0.25)
    changed = points.copy()
    changed[held[certify]] = 9
    other = hf_prune.recommend(dataset, embeddings=changed, **given)
    assert seen[:-2] == proposed
    assert other.proposals == first.proposals
    assert other.tested[0].method == first.tested[0].method


@pytest.mark.parametrize(
    ("on", "by", "names"),
    [("worst_class", None, ("cat", "dog", "owl")), ("worst_group", "site", ("north", "south"))],
)
def test_every_class_or_group_is_certified(on, by, names):
    _, answer = recommended(n=4000, on=on, by=by, max_loss=0.08)
    assert answer.verdict == "prune"
    assert {one.name for one in answer.tested[0].certificates} == set(names)
    assert sum(one.rows for one in answer.tested[0].certificates) == pytest.approx(1200, abs=2)
    assert f"at most 8 points in any {'class' if by is None else 'group'}" in str(answer)
    assert (("random, group-balanced", 0.3) in answer.proposals) == (by is not None)


def test_a_group_that_nothing_holds_out_is_not_promised():
    dataset, points = blobs(400)
    test, test_points = blobs(2000, seed=1)
    rare = dataset.map(lambda row: {"site": "east"} if row["row"] == 0 else row)
    answer = hf_prune.recommend(
        rare,
        max_loss=0.1,
        on="worst_group",
        by=("site",),
        **EASY,
        embeddings=points,
        test=test,
        test_embeddings=test_points,
    )
    assert answer.verdict == "can't say"
    assert "there are 0 held-out rows of east" in str(answer)


def test_confirm_trains_twice_and_certifies_only_that():
    trained = []

    def confirm(rows, held_out, seed, share):
        trained.append((len(rows), len(held_out), seed, share))
        return held_out["label"][:]

    _, answer = recommended(confirm=confirm)
    assert trained == [(1200, 600, 0, 1.0), (360, 600, 0, 1.0)]
    assert (answer.verdict, answer.is_confirmed, len(answer.tested)) == ("prune", True, 1)
    assert "It holds for the two models that `confirm` trained" in str(answer)


def test_confirm_may_refute_the_proxy():
    def confirm(rows, held_out, seed, share):
        return held_out["label"][:] if len(rows) == 1200 else [0] * len(held_out)

    _, answer = recommended(confirm=confirm)
    assert (answer.verdict, answer.coreset) == ("don't prune", None)
    assert str(answer).splitlines()[-1] == (
        "  No other size was tried with `confirm`; pass larger ones alone, as in keep=[0.9]."
    )


def test_confirmed_models_are_kept_in_the_folder(tmp_path):
    trained = []

    def confirm(rows, held_out, seed, share):
        trained.append(len(rows))
        return held_out["label"][:]

    _, first = recommended(confirm=confirm, folder=tmp_path)
    _, again = recommended(confirm=confirm, folder=tmp_path)
    assert len(trained) == 2
    assert str(first) == str(again)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_loss": 0}, "`max_loss`: wanted more than 0"),
        ({"max_loss": 1.0}, r"`max_loss`: wanted a finite number in \[0, 1"),
        ({"on": "worst"}, r"`on`: wanted one of \['average', 'worst_class', 'worst_group'\].* Did you mean"),
        ({"confidence": 0.3}, "`confidence`: wanted a finite number in"),
        ({"on": "worst_group"}, '`by`: wanted with on="worst_group" and only there'),
        ({"by": "site"}, '`by`: wanted with on="worst_group" and only there'),
        ({"on": "worst_group", "by": "sites"}, "`by`: no column 'sites'. Did you mean 'site'"),
        ({"confirm": "train"}, r"`confirm`: wanted a function \(rows, held_out, seed, share\)"),
        ({"confirm": lambda *given: [0, 1]}, "`confirm`: wanted predictions of shape"),
        ({"embeddings": None}, "`embeddings`, `encoder`: the proxy is trained on embeddings"),
    ],
)
def test_bad_arguments(changed, message):
    with pytest.raises(hf_prune.HFPruneError, match=message):
        recommended(**changed)


def test_only_datasets():
    with pytest.raises(hf_prune.ArgumentTypeError, match="`dataset`: wanted"):
        hf_prune.recommend(Dataset, max_loss=0.1)
