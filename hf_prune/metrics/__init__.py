"""Metrics for the worst class and the worst group, as `evaluate.Metric`s that need no download.

Importing this package imports evaluate, which takes seconds; `import hf_prune` does not do it.
"""

from hf_prune.metrics.all_classes import BalancedAccuracy as BalancedAccuracy
from hf_prune.metrics.all_classes import RecallGap as RecallGap
from hf_prune.metrics.all_classes import RecallStd as RecallStd
from hf_prune.metrics.worst import WorstClassAccuracy as WorstClassAccuracy
from hf_prune.metrics.worst import WorstGroupAccuracy as WorstGroupAccuracy
