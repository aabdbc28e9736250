import evaluate
import pytest

import hf_prune
from hf_prune.metrics import RecallGap, WorstClassAccuracy

# Recalls: class 0 has 3/4, class 1 has 1/2, class 4 has 1.
REFERENCES = [0, 0, 0, 0, 1, 1, 4]
PREDICTIONS = [0, 0, 0, 1, 1, 7, 4]


def test_worst_class_accuracy():
    result = WorstClassAccuracy().compute(predictions=PREDICTIONS, references=REFERENCES)
    assert result == {"worst_class_accuracy": 0.5, "worst_class": 1}


def test_recall_gap():
    assert RecallGap().compute(predictions=PREDICTIONS, references=REFERENCES) == {"recall_gap": 0.5}


def test_labels():
    metric = WorstClassAccuracy()
    result = metric.compute(predictions=PREDICTIONS, references=REFERENCES, labels=[4, 0])
    assert result == {"worst_class_accuracy": 0.75, "worst_class": 0}
    with pytest.raises(ValueError, match="`labels`: class 7 has no references; leave it out of labels="):
        metric.compute(predictions=PREDICTIONS, references=REFERENCES, labels=[7])
    with pytest.raises(hf_prune.ArgumentError, match="`labels`: wanted at least one class id"):
        metric.compute(predictions=PREDICTIONS, references=REFERENCES, labels=[])


def test_in_batches_and_combined():
    both = evaluate.combine([WorstClassAccuracy(), RecallGap()])
    for start in range(0, 7, 3):
        both.add_batch(predictions=PREDICTIONS[start : start + 3], references=REFERENCES[start : start + 3])
    assert both.compute() == {"worst_class_accuracy": 0.5, "worst_class": 1, "recall_gap": 0.5}


def test_nothing_to_measure():
    with pytest.raises(hf_prune.ArgumentError, match="`references`: wanted at least one, got none"):
        RecallGap().compute(predictions=[], references=[])
