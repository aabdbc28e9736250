"""Metrics for the worst class and the worst group, as `evaluate.Metric`s that need no download.

Importing this package imports evaluate, which takes seconds; `import hf_prune` does not do it.
"""

from hf_prune.metrics.accuracies import BalancedAccuracy as BalancedAccuracy
from hf_prune.metrics.accuracies import RecallGap as RecallGap
from hf_prune.metrics.accuracies import RecallStd as RecallStd
from hf_prune.metrics.accuracies import WorstClassAccuracy as WorstClassAccuracy
from hf_prune.metrics.accuracies import WorstGroupAccuracy as WorstGroupAccuracy
