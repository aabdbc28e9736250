import numpy as np
import pytest

import hf_prune
from hf_prune.groups import encode
from hf_prune.signals.signals import Signals


def test_views_of_views():
    whole = Signals(5, {"scores": np.arange(5.0), "groups": encode("label", [0, 1, 0, 1, 0])})
    view = whole.subset(np.array([1, 2, 4])).subset(np.array([0, 2]))
    assert len(view) == 2
    assert view.ids.tolist() == [1, 4]
    assert view.scores.tolist() == [1, 4]
    assert view.groups().codes.tolist() == [1, 0]
    assert whole.seen == {"scores", "groups"}


def test_shared_is_computed_once_over_all_rows():
    calls = []

    def double(signals):
        calls.append(len(signals))
        return signals.scores * 2

    whole = Signals(4, {"scores": np.arange(4.0)})
    assert whole.subset(np.array([3])).shared("double", double).tolist() == [6]
    assert whole.subset(np.array([0, 1])).shared("double", double).tolist() == [0, 2]
    assert calls == [4]


def test_what_was_not_given_is_missing():
    with pytest.raises(hf_prune.MissingSignalError, match="recalls were not given: pass recalls="):
        _ = Signals(1, {}).recalls
    with pytest.raises(hf_prune.MissingSignalError, match="the dataset needs a column 'site'"):
        Signals(1, {}).groups("site")
