"""The benchmark of speed and memory runs on tiny data, its checks can fail, and it keeps what it measured."""

import gc
import json

import numpy as np
import pytest

from hf_prune.kernels.graph import union_graph
from hf_prune.kernels.knn import nearest_neighbors
from tests.benchmarks import tables
from tests.benchmarks.harness import Times, in_fresh_process, machine, paired, ratios, resident_bytes
from tests.benchmarks.speed import alone, peak_memory, run
from tests.benchmarks.speed.cases import CASES, Case
from tests.benchmarks.speed.checks import check_graph, check_union
from tests.benchmarks.speed.data import clustered, random_neighbors
from tests.benchmarks.speed.table import RESULTS, table

FRESH = ("memory", "compiled-prune", "compiled-selection")
"""Cases that start processes, which takes seconds; what these run is tested below."""


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch):
    """Before every repetition garbage is collected, 0.2 s each when the whole suite is in memory."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


@pytest.mark.parametrize("case", [case for case in CASES if case not in FRESH])
def test_cases_run_and_check_their_results(case):
    result = CASES[case].run(0.0, 1)  # the least sizes
    assert result["checked"]
    assert all(len(side["cpu"]) == len(side["wall"]) == 1 for side in result["seconds"].values())
    assert all(contrast["of"] in result["seconds"] for contrast in result["ratios"])


def test_command_keeps_what_it_ran_at_full_size(tmp_path, capsys, monkeypatch):
    def smallest(case):
        return Case(lambda scale, repeats: case.run(0.0, repeats), 2)

    monkeypatch.setattr(run, "CASES", {name: smallest(case) for name, case in CASES.items()})
    monkeypatch.setattr(tables, "main", lambda: None)
    file = tmp_path / "results.json"
    run.main(["authors-one-pool", "--scale", "0.5"], file)
    assert not file.exists()
    for case in ("authors-one-pool", "authors-classes"):
        run.main([case], file)
    record = json.loads(file.read_text(encoding="utf-8"))
    assert list(record["cases"]) == ["authors-classes", "authors-one-pool"]  # in the order of CASES
    assert record["machine"] == machine()
    assert table(record) in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run.main(["no-such-case"])
    assert "no such case: no-such-case; there are class-balanced" in capsys.readouterr().err


def test_one_case_does_not_join_those_of_another_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "main", lambda: None)
    file = tmp_path / "results.json"
    file.write_text(json.dumps(RECORD), encoding="utf-8")
    monkeypatch.setattr(run, "CASES", {"one": Case(lambda scale, repeats: RECORD["cases"]["one"], 1)})
    run.main(["one"], file)
    assert json.loads(file.read_text(encoding="utf-8")) == RECORD


def test_sides_take_turns():
    calls = []
    times, results = paired({"a": lambda: calls.append("a") or 1, "b": lambda: calls.append("b") or 2}, repeats=2)
    assert calls == ["a", "b"] * 3  # once to warm up
    assert results == {"a": 1, "b": 2}
    assert [len(side.cpu) for side in times.values()] == [2, 2]


def test_ratios_are_taken_within_a_round():
    ours, other = Times(cpu=[1.0, 6.0, 2.0], wall=[1.0, 1.0, 1.0]), Times(cpu=[2.0, 3.0, 2.0], wall=[4.0, 2.0, 1.0])
    assert ratios(ours, other) == {"cpu": [1.0, 0.5, 2.0], "wall": [0.5, 0.25, 1.0]}


def test_peak_memory_sees_what_a_call_held(tmp_path, capsys):
    before = resident_bytes(peak=False)
    held = np.ones(64 * 2**20, dtype=np.uint8)  # above what malloc ever takes from memory that was freed
    assert resident_bytes(peak=True) >= resident_bytes(peak=False) >= before + held.nbytes / 2
    points, _, scores = clustered(300, 4, 1)
    np.save(tmp_path / "points.npy", points)
    np.save(tmp_path / "scores.npy", scores)
    peak_memory.main(str(tmp_path), "3", "0.5")
    assert int(capsys.readouterr().out) >= 0


def test_a_wrong_graph_is_noticed():
    points = clustered(300, 8, 1)[0]
    neighbors, distances = nearest_neighbors(points, 5)
    check_graph(points, neighbors, distances)
    with pytest.raises(AssertionError):
        check_graph(points, neighbors, distances * (1 + 1e-9))
    neighbors[:, [3, 4]] = neighbors[:, [4, 3]]
    with pytest.raises(AssertionError):
        check_graph(points, neighbors, distances)


def test_a_wrong_union_is_noticed():
    neighbors, distances = random_neighbors(50, 4)
    graph = union_graph(neighbors, distances)
    check_union(graph, neighbors, distances)
    with pytest.raises(AssertionError):
        check_union(graph._replace(distances=graph.distances[::-1]), neighbors, distances)


def test_calls_with_and_without_numba(tmp_path, capsys):
    points, _, scores = clustered(600, 4, 1)
    neighbors, distances = random_neighbors(600, 10)
    arrays = {"points": points, "scores": scores, "neighbors": neighbors, "distances": distances}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    for what in ("prune", "selection"):
        alone.main(what, str(tmp_path), "compiled")
        assert json.loads(capsys.readouterr().out)["cpu"] > 0
        assert len(set(np.load(tmp_path / "order.npy").tolist())) == 180
    with_numba = np.load(tmp_path / "order.npy")
    assert json.loads(in_fresh_process("tests.benchmarks.speed.alone", "selection", tmp_path, "plain"))["cpu"] > 0
    np.testing.assert_array_equal(np.load(tmp_path / "order.npy"), with_numba)


def test_random_neighbors_are_a_valid_list():
    for n, k in ((200, 10), (5, 4)):
        neighbors, distances = random_neighbors(n, k)
        assert all(len(set(near)) == k and row not in near for row, near in enumerate(neighbors.tolist()))
        assert (np.diff(distances, axis=1) > 0).all()
        assert ((distances >= 0.5) & (distances < 1.5)).all()
        both = {(row, near): d for row in range(n) for near, d in zip(neighbors[row], distances[row], strict=True)}
        assert all(both.get((b, a), d) == d for (a, b), d in both.items())


def test_data_are_the_same_again():
    for one, other in zip(clustered(50, 3, 2), clustered(50, 3, 2), strict=True):
        np.testing.assert_array_equal(one, other)


RECORD = {
    "scale": 1.0,
    "machine": {
        "processor": "P",
        "cores": 2,
        "bf16 units": None,
        "python": "3.11.7",
        "versions": {"numpy": "2.4.6", "numba": None},
    },
    "cases": {
        "one": {
            "title": "a case",
            "date": "2026-01-02",
            "checked": "equal",
            "seconds": {
                "prune": {"cpu": [1, 2, 3], "wall": [1, 1, 1]},
                "other": {"cpu": [4, 4, 4], "wall": [2, 2, 2]},
            },
            "ratios": [{"of": "prune", "to": "other", "cpu": [0.5, 0.25, 0.75], "wall": [0.5, 0.5, 0.5]}],
        },
        "two": {
            "title": "memory",
            "date": "2026-01-03",
            "checked": "beyond it",
            "seconds": {},
            "ratios": [],
            "peak_mb": 98.4,
        },
    },
}


def test_table_by_hand():
    lines = table(RECORD).splitlines()
    assert lines[0] == (
        "P, 2 cores, no bf16 units; Python 3.11.7, numpy 2.4.6, numba not installed; 2026-01-02 to 2026-01-03."
    )
    assert lines[4:] == [
        "| a case | 2.00 (1.00) | other: 4.00 (2.00) | **0.500** (0.250 to 0.750) | **0.500** (0.500) |",
        "| memory | 98 MB beyond it | | | |",
    ]


def test_committed_results_are_complete_and_of_full_size():
    record = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert record["scale"] == 1.0
    assert list(record["cases"]) == list(CASES)
