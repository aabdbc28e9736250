"""Metrics for the worst class, as `evaluate.Metric`s that need no download.

Importing this package imports evaluate, which takes seconds; `import hf_prune` does not do it.
"""

from hf_prune.metrics.recall_gap import RecallGap as RecallGap
from hf_prune.metrics.worst_class_accuracy import WorstClassAccuracy as WorstClassAccuracy
