"""Two Gaussians on a line and a threshold of least 0-1 error: what DRoP does to the worst class has a closed form."""

import numpy as np
import pytest
from datasets import Dataset
from scipy.stats import norm

import hf_prune  # noqa: F401 - attaches Dataset.prune

ROWS, DRAWS = 30_000, 8
"""Of each class; and how many such datasets are drawn, since one threshold's recalls are still off by 0.01."""


class Draw:
    """Rows of class 0 with mean 0 and deviation 1, and of class 1 with mean `gap` and deviation `sigma`."""

    def __init__(self, sigma, gap, seed):
        self.sigma, self.gap = sigma, gap
        draw = np.random.default_rng(seed)
        self.x = np.concatenate([draw.normal(size=ROWS), gap + sigma * draw.normal(size=ROWS)])
        self.labels = np.repeat([0, 1], ROWS)
        self.dataset = Dataset.from_dict({"row": np.arange(2 * ROWS), "label": self.labels}).with_format("arrow")

    def recalls(self, coreset):
        """Those of the threshold learnt from these rows, in the whole distribution."""
        rows = coreset[:]["row"].to_numpy()
        rows = rows[np.argsort(self.x[rows])]
        # Between the rows i - 1 and i it is wrong about the ones to the left and the zeros to the right.
        ones, zeros = np.cumsum(self.labels[rows] == 1), np.cumsum(self.labels[rows][::-1] == 0)[::-1]
        best = np.argmin(ones[:-1] + zeros[1:])
        threshold = self.x[rows[best : best + 2]].mean()
        return [norm.cdf(threshold), norm.sf((threshold - self.gap) / self.sigma)]


class Problem:
    def __init__(self, sigma, gap):
        self.draws = [Draw(sigma, gap, seed) for seed in range(DRAWS)]
        self.query = np.mean([draw.recalls(draw.dataset) for draw in self.draws], axis=0).tolist()
        self.minimax = norm.cdf(-gap / (1 + sigma))

    def worst(self, method, **arguments):
        """Of the recalls after pruning to 40%, the mean over draws of each class, 1 - the lowest."""
        coresets = [draw.dataset.prune(method, keep=0.4, **arguments) for draw in self.draws]
        recalls = [draw.recalls(coreset) for draw, coreset in zip(self.draws, coresets, strict=True)]
        return 1 - np.mean(recalls, axis=0).min()


@pytest.mark.parametrize(("sigma", "gap"), [(1.5, 3), (1.5, 4), (2, 4)])
def test_drop_lies_between_random_and_the_optimum(sigma, gap):
    problem = Problem(sigma, gap)
    random = problem.worst("random")
    assert random == pytest.approx(1 - min(problem.query), abs=0.01)
    for temperature in (1, 0.5):
        assert problem.minimax < problem.worst("drop", recalls=problem.query, temperature=temperature) < random


def test_drop_overshoots_where_variances_differ_much_and_temperature_helps():
    problem = Problem(2, 3)
    full, half = (problem.worst("drop", recalls=problem.query, temperature=t) for t in (1, 0.5))
    assert half < problem.worst("random") - 0.02
    assert half < full - 0.02


@pytest.mark.parametrize(("sigma", "gap"), [(1.5, 3), (2, 3)])
def test_rounds_come_nearer_to_the_optimum(sigma, gap):
    problem, sizes, rounds = Problem(sigma, gap), [], []
    for draw in problem.draws:

        def train_and_test(coreset, draw=draw):
            sizes.append(len(coreset))
            return draw.recalls(coreset)

        coreset = draw.dataset.prune("drop", keep=0.4, recalls=train_and_test, temperature=0.5, schedule=3)
        rounds.append(draw.recalls(coreset))
    assert sizes[:3] == [60_000, round(60_000 * 0.4 ** (1 / 3)), round(60_000 * 0.4 ** (2 / 3))]
    assert [found["rows"] for found in coreset.selection.details["rounds"]] == sizes[:3]
    once = problem.worst("drop", recalls=problem.query, temperature=0.5)
    assert problem.minimax - 0.005 < 1 - np.mean(rounds, axis=0).min() < once
