"""Prune Hugging Face datasets: `import hf_prune` adds `.prune(method, keep=...)` to Dataset and DatasetDict.

A method needs one file in `hf_prune.methods` and one line here. What pulls in torch or evaluate is imported when
first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from hf_prune.attach import attach_methods as _attach_methods
from hf_prune.config import from_config as from_config
from hf_prune.dataset import prune as prune
from hf_prune.dynamics.dynamics import TrainingDynamics as TrainingDynamics
from hf_prune.errors import AlignmentError as AlignmentError
from hf_prune.errors import ArgumentError as ArgumentError
from hf_prune.errors import ArgumentTypeError as ArgumentTypeError
from hf_prune.errors import HFPruneError as HFPruneError
from hf_prune.errors import MissingExtraError as MissingExtraError
from hf_prune.errors import MissingSignalError as MissingSignalError
from hf_prune.groups import Groups as Groups
from hf_prune.methods.aum import AUM as AUM
from hf_prune.methods.base import Method as Method
from hf_prune.methods.by_score import ByScore as ByScore
from hf_prune.methods.choice import Choice as Choice
from hf_prune.methods.d2 import D2 as D2
from hf_prune.methods.drop import DRoP as DRoP
from hf_prune.methods.drop import DRoPQuotas as DRoPQuotas
from hf_prune.methods.el2n import EL2N as EL2N
from hf_prune.methods.forgetting import Forgetting as Forgetting
from hf_prune.methods.given_scores import GivenScores as GivenScores
from hf_prune.methods.grand import GraNd as GraNd
from hf_prune.methods.image_text_similarity import ImageTextSimilarity as ImageTextSimilarity
from hf_prune.methods.label_errors import find_label_errors as find_label_errors
from hf_prune.methods.mixture import Mixture as Mixture
from hf_prune.methods.per_class import PerClass as PerClass
from hf_prune.methods.perplexity import Perplexity as Perplexity
from hf_prune.methods.prototypicality import Prototypicality as Prototypicality
from hf_prune.methods.quotas import EqualQuotas as EqualQuotas
from hf_prune.methods.quotas import ProportionalQuotas as ProportionalQuotas
from hf_prune.methods.quotas import Quotas as Quotas
from hf_prune.methods.random_ import Random as Random
from hf_prune.methods.score import DynamicsScore as DynamicsScore
from hf_prune.methods.score import Score as Score
from hf_prune.methods.variability import Variability as Variability
from hf_prune.methods.without_suspects import WithoutSuspects as WithoutSuspects
from hf_prune.publish import push_to_hub as push_to_hub
from hf_prune.selection.live import selection_of as selection_of
from hf_prune.selection.selection import Selection as Selection
from hf_prune.signals.signals import Signals as Signals

if TYPE_CHECKING:
    from hf_prune import metrics as metrics
    from hf_prune import plots as plots
    from hf_prune import testing as testing
    from hf_prune.comparison.compare import compare as compare
    from hf_prune.comparison.recommend import recommend as recommend
    from hf_prune.comparison.recommendation import Recommendation as Recommendation
    from hf_prune.comparison.results import Comparison as Comparison
    from hf_prune.embeddings.compute import embed as embed
    from hf_prune.recording.callback import PruningTrainerCallback as PruningTrainerCallback
    from hf_prune.recording.lightning import LightningPruningCallback as LightningPruningCallback

__version__ = "0.1.0"

_MODULES = ("metrics", "plots", "testing")
_LATE = {
    "Comparison": "hf_prune.comparison.results",
    "Recommendation": "hf_prune.comparison.recommendation",
    "compare": "hf_prune.comparison.compare",
    "recommend": "hf_prune.comparison.recommend",
    "LightningPruningCallback": "hf_prune.recording.lightning",
    "PruningTrainerCallback": "hf_prune.recording.callback",
    "embed": "hf_prune.embeddings.compute",
}
"""Public names whose modules import torch, or that few programs need."""

_attach_methods()


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"hf_prune.{name}")
    raise AttributeError(f"module 'hf_prune' has no attribute {name!r}")


def __dir__() -> list[str]:
    own = (name for name, value in globals().items() if getattr(value, "__module__", "").startswith("hf_prune."))
    return sorted({*_LATE, *_MODULES, *(name for name in own if not name.startswith("_"))})
