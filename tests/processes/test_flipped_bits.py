"""Each kind of file that we write, with one bit flipped: it is refused with its path, or holds what it held.

`HF_PRUNE_KILLS=all python -m pytest -s tests/processes/test_flipped_bits.py` flips 1,000 bits of each.
"""

import json
import pickle
from dataclasses import asdict

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.comparison.results import FULL, Comparison, Result
from tests.processes.kills import ALL

N, FLIPS = 60, 1000 if ALL else 100


@pytest.fixture(scope="module")
def ds():
    rng = np.random.default_rng(0)
    return Dataset.from_dict({"label": rng.integers(0, 3, N), "uid": [f"row {row}" for row in range(N)]})


def record(ds, folder):
    rng = np.random.default_rng(0)
    embeddings, scores = rng.normal(size=(N, 4)), rng.random(N)
    selection = ds.prune("d2", keep=0.3, quotas="equal", scores=scores, embeddings=embeddings, k=3).selection
    selection.save(folder / "record", id_column="uid")
    return lambda: contents(hf_prune.Selection.load(folder / "record"))


def contents(selection):
    """All that a loaded selection holds."""
    groups, source = selection.groups, selection.source
    arrays = [selection.indices, selection.scores, selection.rank, groups.codes, *selection.evidence.values()]
    return (
        [array.tobytes() for array in arrays],
        json.dumps([asdict(step) for step in selection.steps]),
        json.dumps([source.origin, source.recorded, source.ids[1].to_pylist(), groups.values, groups.names]),
        (selection.n, selection.at_least, selection.pruned_digests, [*selection.evidence], source.ids[0]),
    )


def header_of_record(ds, folder):
    return folder / "record" / "selection.json", record(ds, folder)


def table_of_record(ds, folder):
    return folder / "record" / "selection.parquet", record(ds, folder)


def a_run():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, N)
    run = hf_prune.TrainingDynamics.from_logits(rng.normal(size=(4, N, 3)), labels)
    features = {"early": rng.normal(size=(N, 5)).astype(np.float32)}
    signals = {name: run[name] for name in run.signals}
    return hf_prune.TrainingDynamics(signals, run.labels, features, run.task, {"x": np.arange(N, dtype=np.uint64)})


def held(run):
    """All that a run holds."""
    arrays = {name: run[name] for name in run.signals} | run.features | run.digests | {"labels": run.labels}
    return run.task, {name: (array.dtype, array.tobytes()) for name, array in arrays.items()}


def file_of_run(ds, folder):
    a_run().save(path := folder / "run")
    return path, lambda: held(hf_prune.TrainingDynamics.load(path))


def table_of_run(ds, folder):
    a_run().to_parquet(path := folder / "run")
    return path, lambda: held(hf_prune.TrainingDynamics.from_parquet(path))


def spelled(texts):
    return [[*map(ord, text[:6].rjust(6))] for text in texts]


def cached_embedding(ds, folder):
    def embed():
        return np.array(hf_prune.embed(ds, spelled, column="uid", cache_dir=folder, batch_size=8)).tobytes()

    embed()
    (path,) = folder.glob("*/vectors.npy")
    return path, embed


def comparison(ds, folder):
    results = [Result(FULL, 1.0, 0, 100, 0.9, (0.8, 1.0)), Result("random", 0.3, 0, 30, 0.7, (0.5, 0.9))]
    Comparison(("cat", "dog"), tuple(results)).save(path := folder / "comparison.json")
    return path, lambda: repr(asdict(Comparison.load(path)))


KINDS = [header_of_record, table_of_record, file_of_run, table_of_run, cached_embedding, comparison]


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_an_error_or_of_no_matter(ds, kind, tmp_path):
    path, read = kind(ds, tmp_path)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    sound = pickle.dumps(read())
    for at in rng.integers(0, len(whole), FLIPS):
        changed = bytearray(whole)
        changed[at] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            loaded = pickle.dumps(read())
        except hf_prune.HFPruneError as error:
            assert str(path.parent) in str(error)  # noqa: PT017
            refused += 1
        else:
            assert loaded == sound, at
    print(f"{kind.__name__}: {FLIPS:,} bits flipped, {refused:,} refused, 0 silent changes")
    assert refused > FLIPS / 2
