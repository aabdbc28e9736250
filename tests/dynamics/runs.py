"""Runs for the tests of dynamics, and how they are compared."""

import os

import numpy as np

from hf_prune import TrainingDynamics
from hf_prune.dynamics.formulas import SIGNALS

NAN = np.nan


def dynamics_of(margin, labels=None, features=None, signal=None):
    """Dynamics that hold `margin`, (epochs, n), as one signal, with zeros as the others, or as every one."""
    margin = np.array(margin, dtype=np.float32)
    labels = np.arange(margin.shape[1]) % 2 if labels is None else np.array(labels)
    signals = {name: margin if signal in (None, name) else np.zeros_like(margin) for name in SIGNALS}
    return TrainingDynamics(signals, labels.astype(np.int64), features)


def bits(array):
    """Floats as bits, so that zeros of either sign and NaNs of any kind are told apart."""
    return np.ascontiguousarray(array).view(np.uint32).tolist()


def assert_same(dynamics, run):
    assert (dynamics.epochs, len(dynamics)) == (run.epochs, len(run))
    assert dynamics.signals == run.signals
    for signal in run.signals:
        assert bits(dynamics[signal]) == bits(run[signal])
        assert dynamics[signal].dtype == np.float32
    assert dynamics.labels.tolist() == run.labels.tolist()
    assert dynamics.labels.dtype == np.int64
    assert list(dynamics.features) == list(run.features)
    for moment, array in run.features.items():
        assert dynamics.features[moment].shape == array.shape
        assert bits(dynamics.features[moment]) == bits(array)
        assert dynamics.features[moment].dtype == np.float32


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)
