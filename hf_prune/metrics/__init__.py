"""Metrics for the worst class and the worst group, as `evaluate.Metric`s that need no download.

Imports the ground floor, and evaluate, which takes seconds; `import hf_prune` does not import this room.
"""

from hf_prune.metrics.accuracies import BalancedAccuracy as BalancedAccuracy
from hf_prune.metrics.accuracies import RecallGap as RecallGap
from hf_prune.metrics.accuracies import RecallStd as RecallStd
from hf_prune.metrics.accuracies import WorstClassAccuracy as WorstClassAccuracy
from hf_prune.metrics.accuracies import WorstGroupAccuracy as WorstGroupAccuracy
