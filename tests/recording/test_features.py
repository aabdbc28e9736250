"""Recording the input of a head."""

import numpy as np
import pytest
from torch import nn

from hf_prune import ArgumentTypeError, PruningTrainerCallback
from hf_prune.digest import array_digest
from tests.recording.witness import assert_recorded, count_hooks, refuse, train


@pytest.mark.parametrize(("epochs", "early"), [(1, 0), (4, 2), (18, 3)])
def test_features_are_the_input_of_the_head(task, epochs, early):
    recorder = PruningTrainerCallback(features=True)
    run = train(task, [recorder], num_train_epochs=epochs)
    features = recorder.dynamics.features
    assert set(features) == {"early", "last"}
    for moment, epoch in (("early", early), ("last", epochs - 1)):
        wanted = np.stack([run.witness.features[epoch][row] for row in range(37)])
        assert features[moment].dtype == np.float32
        np.testing.assert_array_equal(features[moment], wanted)
    assert_recorded(recorder.dynamics, run.witness, task.labels)


@pytest.mark.parametrize("method", ["d2", "prototypicality"])
def test_what_methods_read_of_a_run(task, method):
    recorder = PruningTrainerCallback(features=True)
    train(task, [recorder], num_train_epochs=4)
    dynamics = recorder.dynamics
    for given in ({"dynamics": dynamics}, {"dynamics": dynamics, "embeddings": recorder}):
        read = task.dataset.prune(method, keep=9, cutoff=0, **given).selection.steps[0].signals["embeddings"]
        assert (read["from"], read["digest"]) == ("early features", array_digest(dynamics.features["early"]))
    dynamics.features["early"][36] = np.nan  # as of a row that no epoch showed until then
    read = task.dataset.prune(method, keep=9, cutoff=0, dynamics=dynamics).selection.steps[0].signals["embeddings"]
    wanted = ("features of the last recorded epoch", array_digest(dynamics.features["last"]))
    assert (read["from"], read["digest"]) == wanted


def test_features_of_a_named_module(task):
    named, default = PruningTrainerCallback(features=task.head), PruningTrainerCallback(features=True)
    train(task, [named])
    train(task, [default])
    for moment in ("early", "last"):
        np.testing.assert_array_equal(named.dynamics.features[moment], default.dynamics.features[moment])


def test_features_of_another_module(text_task):
    # What goes into BERT's dropout comes out as the head's input, with a part of it zeroed.
    recorder = PruningTrainerCallback(features="dropout")
    run = train(text_task, [recorder])
    recorded = recorder.dynamics.features["last"]
    after = np.stack([run.witness.features[-1][row] for row in range(37)])
    kept = after != 0
    assert 0.02 < (~kept).mean() < 0.2
    np.testing.assert_allclose(recorded[kept] / 0.9, after[kept], rtol=1e-6)


def test_features_of_an_unknown_module(task):
    recorder = PruningTrainerCallback(features="classifer")
    model = task.new_model()
    refuse(
        task,
        r"`features`: the model has no module 'classifer'; its last are .*classifier",
        recorder=recorder,
        model=model,
    )
    assert count_hooks(model) == 0


@pytest.mark.parametrize(
    ("kind", "module", "got"),
    [
        ("text", "bert.encoder.layer.1", r"\(8, \d+, 32\)"),
        ("text", "bert.encoder.layer.1.output.dense", r"\(8, \d+, 64\)"),
        ("image", "classifier", r"\(8, 16, 1, 1\)"),
        ("image", "spare", "None"),
        ("text", "spare", "None"),
        ("text", "bert.embeddings", "None"),  # called with keywords only
        ("text", "bert", "None"),  # called with token ids
    ],
)
def test_features_that_are_no_vectors(kind, module, got, request):
    task = request.getfixturevalue(f"{kind}_task")
    model = task.new_model()
    model.spare = nn.Linear(5, 7)
    message = rf"`features`: wanted a module whose input has the shape \(batch, d\).*, got {got}; name another"
    refuse(task, message, recorder=PruningTrainerCallback(features=module), model=model)


def test_features_without_a_linear_head(image_task):
    model = image_task.new_model()
    model.classifier = nn.Sequential(nn.Conv2d(16, 4, 1), nn.Flatten())
    message = "`features`: found no Linear layer with 4 outputs, .*name the head"
    refuse(image_task, message, recorder=PruningTrainerCallback(features=True), model=model)


def test_features_of_a_wrong_type():
    with pytest.raises(ArgumentTypeError, match="`features`: wanted True, False or the name of a module, got 3"):
        PruningTrainerCallback(features=3)
