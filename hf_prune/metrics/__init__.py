"""Metrics for the worst class and the worst group, as `evaluate.Metric`s that need no download.

Importing this package imports evaluate, which takes seconds; `import hf_prune` does not do it.
"""

from hf_prune.metrics.balanced_accuracy import BalancedAccuracy as BalancedAccuracy
from hf_prune.metrics.recall_gap import RecallGap as RecallGap
from hf_prune.metrics.recall_std import RecallStd as RecallStd
from hf_prune.metrics.worst_class_accuracy import WorstClassAccuracy as WorstClassAccuracy
from hf_prune.metrics.worst_group_accuracy import WorstGroupAccuracy as WorstGroupAccuracy
