"""The quality benchmark, from tiny data to Markdown."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

KEEPS = (0.5, 0.25)
CELL = ("mlp", "tiny", 0.2, 0.5)


@pytest.fixture(scope="module")
def benchmarks(_trainer_libraries):
    """The module of the benchmark, imported once the libraries of Trainer are."""
    from tests.benchmarks.quality import run

    return run


@pytest.fixture
def tiny(benchmarks, monkeypatch):
    """Two parts on 60 images of 8 x 8 pixels, whose brightness is their class, with two seeds."""
    from tests.benchmarks import real_data

    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    pixels = (rng.integers(0, 60, size=(80, 8, 8)) + 120 * labels[:, None, None]).astype(np.uint8)
    halves = real_data.halves(pixels, labels)
    monkeypatch.setattr(real_data, "COMPONENTS", 4)
    monkeypatch.setitem(real_data.DATA, "tiny", lambda cache: real_data.of_images(*halves, ("dark", "light")))
    networks = benchmarks.NETWORKS
    monkeypatch.setitem(networks, "mlp", replace(networks["mlp"], steps=60, batch=16, hidden=8, snapshots=5))
    monkeypatch.setitem(networks, "resnet", replace(networks["resnet"], steps=4, batch=16))
    resnet = replace(benchmarks.PARTS["resnet"], data="tiny", keeps=KEEPS, seeds=1)
    return {"mlp": benchmarks.Part("mlp", "tiny", keeps=KEEPS, seeds=2), "resnet": resnet}


def test_whole_line_and_resume(benchmarks, tiny, tmp_path, monkeypatch):
    file = tmp_path / "results.parquet"
    benchmarks.run_parts(tiny, tmp_path, 0, file)
    table = pq.read_table(file)
    # mlp: 2 noises, 2 seeds, 9 methods; resnet: 1 noise, 1 seed, 5 methods; 2 sizes each, in which all rows are shown
    # for fewer steps, too; and one row for all rows.
    assert len(table) == 4 * (10 * 2 + 1) + (6 * 2 + 1)
    rows = table.to_pylist()
    assert {row["kept"] for row in rows} == {60, 30, 15}
    full = [row for row in rows if row["method"] == "all rows" and row["network"] == "mlp"]
    assert [row["mislabelled"] for row in full] == [0, 0, pytest.approx(0.2), pytest.approx(0.2)]
    assert all(row["accuracy"] == 1 for row in full if row["noise"] == 0)
    told = [row for row in rows if row["method"] == "D2, cutoff told the noise" and row["noise"] == 0.2]
    assert [row["cut"] for row in told] == [pytest.approx(0.2)] * 6
    about = json.loads(table.schema.metadata[b"hf_prune"])
    assert about["setup"]["mlp"]["network"]["steps"] == 60
    assert about["versions"].keys() >= {"torch", "hf_prune"}

    from tests.benchmarks.quality.table import text

    assert text(file).count("| EL2N, hardest |") == 2
    assert text(file).count("| tiny, mlp, 0% wrong, keep 25% |") == 1

    finished = sorted((tmp_path / "quality").glob("*/*.json"))
    assert len(finished) == 5
    finished[0].unlink()
    asked, work = [], benchmarks.work
    monkeypatch.setattr(benchmarks, "work", lambda *job: asked.append(job) or work(*job))
    again = tmp_path / "again.parquet"
    benchmarks.run_parts(tiny, tmp_path, 0, again)
    assert len(asked) == 1
    assert pq.read_table(again).equals(table)
    # Other settings use no finished job.
    tiny["mlp"] = replace(tiny["mlp"], keeps=(0.5,))
    benchmarks.run_parts(tiny, tmp_path, 0, again)
    assert len(asked) == 1 + 4


def test_jobs_in_other_processes(benchmarks, tmp_path):
    from tests.benchmarks import jobs

    wanted = {tmp_path / "deep" / f"{i}.json": (f'[{{"i": {i}}}]',) for i in range(3)}
    assert jobs.run(json.loads, wanted, 2) == [{"i": 0}, {"i": 1}, {"i": 2}]
    assert sorted(tmp_path.rglob("*.*")) == sorted(wanted)
    with pytest.raises(json.JSONDecodeError):
        jobs.run(json.loads, {tmp_path / "bad.json": ("[",)}, 1)
    assert not list(tmp_path.glob("bad*"))


def test_noise_changes_exactly_the_share(benchmarks):
    y = np.arange(100) % 5
    noisy = benchmarks.with_noise(y, 5, 0.2, seed=3)
    assert (noisy != y).sum() == 20
    assert set(noisy) == set(range(5))
    np.testing.assert_array_equal(noisy, benchmarks.with_noise(y, 5, 0.2, seed=3))
    assert (noisy != benchmarks.with_noise(y, 5, 0.2, seed=4)).any()


def test_coresets_take_as_many_steps(benchmarks):
    from tests.benchmarks.networks import in_batches

    few = in_batches(5, 4, 10)
    assert few.shape == (10, 4)
    assert sorted(few.ravel()[:5].tolist()) == [0, 1, 2, 3, 4]
    assert in_batches(1000, 4, 10).unique().numel() == 40


@pytest.fixture
def fabricated(benchmarks, tmp_path):
    """A file of two cells, three seeds each; accuracies in percent by method."""
    from tests.benchmarks import cells
    from tests.benchmarks.quality import table as names

    accuracies_of = {
        0.5: {
            names.BALANCED: (80, 82, 84),
            names.BALANCED_AUTO: (85, 85, 85),
            names.NO_CUTOFF: (70, 71, 72),
            names.TOLD: (85, 86, 87),
            names.AUTO: (86, 86, 86),
        },
        0.1: {
            names.BALANCED: (60, 60, 60),
            names.BALANCED_AUTO: (60, 58, 56),
            names.NO_CUTOFF: (61, 61, 61),
            names.TOLD: (50, 50, 50),
            names.AUTO: (59, 59, 59),
        },
        1.0: {names.FULL: (90, 90, 90)},
    }
    rows = [
        {"network": "mlp", "data": "tiny", "noise": 0.2, "keep": keep, "method": method, "seed": seed}
        | {
            "kept": int(1000 * keep),
            "mislabelled": 0.06 if keep == 0.1 else 0.0,
            "cut": 0.25 if method == names.AUTO else None,
        }
        | {"accuracy": accuracy / 100, "recalls": [1.0, accuracy / 100 - 0.1]}
        for keep, by_method in accuracies_of.items()
        for method, accuracies in by_method.items()
        for seed, accuracy in reversed(list(enumerate(accuracies)))
    ]
    cells.write_parquet(tmp_path / "fabricated.parquet", rows, {})
    return names, names.Results(tmp_path / "fabricated.parquet")


def test_table_by_hand(fabricated):
    names, results = fabricated
    # Standard error of 80, 82, 84: sd 2 over the root of 3.
    assert names.table(results, *CELL[:3]).splitlines() == [
        "**tiny, 20% of the labels wrong**, mlp, 3 seeds; auto held back 25.0% of the rows",
        "",
        "| method | keep 50% (500) | keep 10% (100) |",
        "| --- | --- | --- |",
        "| all rows (1,000) | 90.0 ± 0.0 (80), 0.0% wrong | 90.0 ± 0.0 (80), 0.0% wrong |",
        "| random, class-balanced | 82.0 ± 1.2 (72), 0.0% wrong | 60.0 ± 0.0 (50), 6.0% wrong |",
        "| random, class-balanced, cutoff auto | 85.0 ± 0.0 (75), 0.0% wrong | 58.0 ± 1.2 (48), 6.0% wrong |",
        "| D2, no cutoff | 71.0 ± 0.6 (61), 0.0% wrong | 61.0 ± 0.0 (51), 6.0% wrong |",
        "| D2, cutoff told the noise | 86.0 ± 0.6 (76), 0.0% wrong | 50.0 ± 0.0 (40), 6.0% wrong |",
        "| D2, cutoff auto | 86.0 ± 0.0 (76), 0.0% wrong | 59.0 ± 0.0 (49), 6.0% wrong |",
    ]


def test_aims_by_hand(fabricated):
    names, results = fabricated
    lines = names.aims(results).splitlines()
    # keep 50%: the better is told, gains 1 0 -1; against random 6 4 2, and Student's t is 4.303: 4.303 * 1.155 = 4.97.
    same = "+1.0 (+1.0 to +1.0)"
    of_half = f"| tiny, mlp, 20% wrong, keep 50% | +0.0 | +4.0 (-1.0 to +9.0) | {same} | {same} | 0.0% |"
    assert of_half in lines
    # keep 10%: the better is no cutoff, 61; against random with the cutoff -1 1 3.
    same = "+1.0 (-4.0 to +6.0)"
    of_tenth = f"| tiny, mlp, 20% wrong, keep 10% | -2.0 | -1.0 (-1.0 to -1.0) | {same} | {same} | 6.0% |"
    assert of_tenth in lines
    assert lines[-4:] == [
        "- median over the better of no cutoff and told, wanted >= 0: -1.00, **missed**",
        "- the lowest of these (tiny, mlp, 20% wrong, keep 10%), wanted >= -1.5: -2.00, **missed**",
        "- lowest upper end over random, class-balanced, cutoff auto (tiny, mlp, 20% wrong, keep 50%), wanted >= 0: "
        "+1.00, met",
        "- largest share of wrong labels kept (tiny, mlp, 20% wrong, keep 10%), wanted <= 5: +6.00, **missed**",
    ]


def test_unpaired_seeds_are_refused(fabricated):
    names, results = fabricated
    results._rows[CELL][names.AUTO].pop()
    with pytest.raises(ValueError, match="have other seeds in"):
        results.gain(CELL, names.AUTO, names.BALANCED)
