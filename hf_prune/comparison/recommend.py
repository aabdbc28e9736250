"""How much of the data can go, by which method, at what risk: propose on some held-out rows, certify on others."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np
from datasets import Dataset
from datasets.utils import tqdm
from numpy.typing import NDArray

from hf_prune.arguments import one_of, real_number, whole_number
from hf_prune.budget import resolve_keep
from hf_prune.comparison.certify import Certificate, certify_groups, fewest_rows, p_value
from hf_prune.comparison.compare import all_methods, check_dynamics, positions_in
from hf_prune.comparison.parts import Part, Parts, read_parts, split_by_class
from hf_prune.comparison.recommendation import ALL, MEASURES, On, Recommendation, SizeTest
from hf_prune.comparison.results import FULL, size_text
from hf_prune.comparison.runs import Methods, Sizes, plain_sizes, prune_all, rows_of
from hf_prune.comparison.trial import Train, Trial
from hf_prune.errors import ArgumentError
from hf_prune.groups import crossed
from hf_prune.labels import check_column, column_groups, find_label_column
from hf_prune.recalls import CONFIDENCE
from hf_prune.selection.live import live_selection
from hf_prune.selection.selection import Selection
from hf_prune.selection.source import Source
from hf_prune.signals.given import DynamicsLike, EmbeddingsLike, EncoderLike

PROPOSING = 0.25
"""Share of the held-out rows of each class on which sizes and methods are proposed; the others certify."""

MARGIN = 0.5
"""A size is proposed if on the proposal's rows it and all larger ones lose no more than this share of the limit."""


def recommend(
    dataset: Dataset,
    *,
    max_loss: float,
    on: On = "average",
    confidence: float = CONFIDENCE,
    by: str | tuple[str, ...] | None = None,
    methods: Methods | Sequence[str] | None = None,
    keep: Sizes = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1),
    seeds: int = 3,
    embeddings: EmbeddingsLike | None = None,
    encoder: EncoderLike | None = None,
    dynamics: DynamicsLike | None = None,
    test: Dataset | float = 0.4,
    test_embeddings: EmbeddingsLike | None = None,
    confirm: Train | None = None,
    label_column: str | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Recommendation:
    """The smallest coreset whose loss against all rows is certified to be within a limit, or "don't prune".

    A quarter of the held-out rows proposes a method: the one that on these loses no more than half of the limit down
    to the smallest size. The others certify, and had no say in that; they are taken to be independent draws of what
    the model will meet. For each size, from the largest down, the two models, of the coreset and of all rows, predict
    the same rows, and an exact test rejects that the loss is the limit or more; at the first size that fails it ends.
    So many sizes cost no confidence: a false promise needs a false rejection at the first size that breaks the limit.
    For the worst class or group every one of them must pass, which promises that none loses as much, and so neither
    does the lowest recall.

    What is promised: with probability `confidence` or more over the draw of the rows that certify, no promise is
    given whose two models differ by `max_loss` or more on the population that these rows are drawn from. It is of two
    trained models, those of seed 0, and without `confirm` of the proxy's.

    Args:
        dataset, methods, keep, seeds, embeddings, encoder, dynamics, test_embeddings, label_column, folder: as in
            `compare`.
        max_loss: the limit in (0, 1), a share of rows: 0.01 is a point of accuracy.
        on: what may lose no more: the "average", every class ("worst_class"), or every group ("worst_group").
        confidence: of the promise.
        by: for groups a column of `dataset` and of `test`, or a tuple of columns, whose combinations are the groups;
            random rows balanced by them are proposed, too.
        test: a dataset that is held out, or a share of each class of `dataset`.
        confirm: a function (rows, held_out, seed, share) that trains your model, as `train` of `compare`. It is called
            twice, for all rows and for the smallest coreset that the proposal found within half of the limit. The
            promise is then of these two models, and the proxy sees no row that certifies.

    Returns:
        A Recommendation with the coreset, whose record has positions in `dataset`, and every certificate.

    Raises:
        ArgumentError: what `prune` and `compare` refuse, or a limit outside (0, 1).

    Reference: Angelopoulos et al., *Learn then Test* (2021), arXiv 2110.01052, for models that are tested in a fixed
    sequence; hf_prune.comparison.certify for the test of a pair, and of all classes.

    >>> from datasets import Dataset
    >>> points = np.random.default_rng(0).normal(size=(2000, 2)) + np.repeat([[0, 0], [4, 4]], 1000, axis=0)
    >>> data = Dataset.from_dict({"label": ["cat"] * 1000 + ["dog"] * 1000})
    >>> answer = recommend(data, max_loss=0.02, methods=["random"], keep=[0.5, 0.2], seeds=1, embeddings=points)
    >>> answer.verdict, answer.keep, len(answer.coreset)
    ('prune', 0.2, 240)
    """
    one_of("on", on, MEASURES)
    limit = real_number("max_loss", max_loss, at_least=0, below=1)
    level = real_number("confidence", confidence, at_least=0.5, below=1)
    if limit == 0:
        raise ArgumentError("`max_loss`: wanted more than 0, as in max_loss=0.01, which is a point of accuracy")
    parts = read_parts(
        dataset,
        test,
        embeddings=embeddings,
        encoder=encoder,
        test_embeddings=test_embeddings,
        label_column=label_column,
    )
    check_dynamics(dynamics, test)
    trial = Trial(parts, dynamics, None, folder)
    judge = trial if confirm is None else Trial(parts, None, confirm, folder, argument="confirm")
    chosen = all_methods(methods, trial)
    if by is not None:
        chosen |= {"random, group-balanced": {"method": "random", "quotas": "equal", "by": by}}
    sizes = sorted(
        plain_sizes(keep, len(parts.train.labels)), key=lambda size: -resolve_keep(size, len(parts.train.labels))
    )
    watched = _watched(parts, on, by)
    proposing, certifying = (watched.take(rows) for rows in split_by_class(parts.held_out.labels, PROPOSING))
    question = _Question(on, limit, level, len(parts.train.labels))
    if too_few := _too_few(certifying, question, sizes[0]):
        return question.answer((too_few,), {})
    column = find_label_column(dataset, label_column)
    count = whole_number("seeds", seeds, at_least=1)
    proposals, selections = _proposed(trial, proposing, chosen, sizes, count, column)
    name, smallest = _best(proposals, chosen, sizes, limit)
    to_test = {size: selections[name, size] for size in (sizes if confirm is None else [smallest])}
    tested = tuple(_certified(judge, certifying, question, name, to_test))
    answer = question.answer(tested, proposals, is_confirmed=confirm is not None)
    if answer.promised is None:
        return answer
    size = answer.promised.keep
    coreset = _of_dataset(dataset, parts, to_test[size])
    return replace(answer, coreset=coreset, method=name, arguments={**chosen[name], "keep": size, "seed": 0})


@dataclass(frozen=True, eq=False)
class _Watched:
    """Held-out rows, with what must not lose: all of them, every class or every group.

    Attributes:
        codes: (m,) position in `names` of each row.
    """

    part: Part
    codes: NDArray[np.int64]
    names: tuple[str, ...]

    def take(self, rows: NDArray[np.int64]) -> "_Watched":
        return _Watched(self.part.take(rows), self.codes[rows], self.names)

    def right(self, predicted: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(m,) whether each row is predicted right."""
        right: NDArray[np.bool_] = predicted == self.part.labels
        return right

    def largest_loss(self, full: NDArray[np.int64], coreset: NDArray[np.int64]) -> float:
        """The largest loss over what is watched, of those that have rows here."""
        lost = self.right(full).astype(np.float64) - self.right(coreset)
        sizes = np.bincount(self.codes, minlength=len(self.names))
        there = sizes > 0
        return float(np.max(np.bincount(self.codes, lost, len(self.names))[there] / sizes[there]))


@dataclass(frozen=True)
class _Question:
    """What was asked, of how many training rows."""

    on: On
    max_loss: float
    confidence: float
    rows: int

    def answer(self, tested: tuple[SizeTest, ...], proposals: Any, *, is_confirmed: bool = False) -> Recommendation:
        """The answer that the tested sizes give."""
        verdict: Any = "prune" if tested[0].passed else "don't prune" if tested[0].is_refuted else "can't say"
        return Recommendation(
            verdict, self.on, self.max_loss, self.confidence, self.rows, tested, proposals, is_confirmed
        )


def _watched(parts: Parts, on: On, by: Any) -> _Watched:
    """The held-out rows, and the class or group of each, of which training rows may have more."""
    held_out, n = parts.held_out, len(parts.held_out.labels)
    if (by is None) == (on == "worst_group"):
        raise ArgumentError('`by`: wanted with on="worst_group" and only there, as in by="site": the groups')
    if on == "average":
        return _Watched(held_out, np.zeros(n, dtype=np.int64), (ALL,))
    if on == "worst_class":
        there = parts.classes.sizes + np.bincount(held_out.labels, minlength=len(parts.classes.names)) > 0
        names = tuple(np.array(parts.classes.names, dtype=object)[there])
        return _Watched(held_out, (np.cumsum(there) - 1)[held_out.labels], names)
    columns = (by,) if isinstance(by, str) else tuple(by)
    of_parts = []
    for rows in (parts.train.rows, held_out.rows):
        for column in columns:
            check_column(rows, "by", column)
        of_parts.append(crossed({column: column_groups(rows, column) for column in columns}))
    there_are = [name for groups in of_parts for name, size in zip(groups.names, groups.sizes, strict=True) if size]
    place = {name: code for code, name in enumerate(dict.fromkeys(there_are))}
    of_rows = of_parts[1]
    codes = np.array([place.get(name, -1) for name in of_rows.names], dtype=np.int64)[of_rows.codes]
    return _Watched(held_out, codes, tuple(place))


def _too_few(certifying: _Watched, question: _Question, largest: float | int) -> SizeTest | None:
    """The largest size as one that failed, where some class or group has fewer rows than could certify anything."""
    sizes = np.bincount(certifying.codes, minlength=len(certifying.names)).tolist()
    if min(sizes) >= fewest_rows(question.max_loss, question.confidence):
        return None
    limit, level = question.max_loss, question.confidence
    certificates = tuple(
        Certificate(name, size, 0, 0, limit, level, p_value(0, 0, size, limit))
        for name, size in zip(certifying.names, sizes, strict=True)
    )
    return SizeTest(None, largest, resolve_keep(largest, question.rows), certificates)


def _proposed(
    trial: Trial, proposing: _Watched, methods: Methods, sizes: Sizes, seeds: int, label_column: str | None
) -> tuple[dict[tuple[str, float | int], float], Mapping[tuple[str, float | int], Selection]]:
    """The mean loss over seeds of each method and size on the proposal's rows, and the selections of seed 0."""
    rows, losses = trial.parts.train.rows, dict[tuple[str, float | int], list[float]]()
    of_first: Mapping[tuple[str, float | int], Selection] = {}
    with tqdm(total=seeds * (1 + len(sizes) * len(methods)), desc="Proposing", unit="model") as bar:
        for seed in range(seeds):
            selections = prune_all(rows, methods, sizes, seed, {"label_column": label_column, **trial.signals(seed)})
            of_first = of_first or selections
            bar.set_postfix_str(f"{FULL}, seed {seed}")
            full = trial.predictions(rows, positions_in(rows, rows), proposing.part, seed)
            bar.update()
            for (name, size), selection in selections.items():
                bar.set_postfix_str(f"{name}, keep {size_text(size)}, seed {seed}")
                chosen = rows_of(rows, selection)
                predicted = trial.predictions(chosen, positions_in(rows, chosen), proposing.part, seed)
                losses.setdefault((name, size), []).append(proposing.largest_loss(full, predicted))
                bar.update()
    return {cell: float(np.mean(values)) for cell, values in losses.items()}, of_first


def _best(
    proposals: Mapping[tuple[str, float | int], float], methods: Methods, sizes: Sizes, max_loss: float
) -> tuple[str, float | int]:
    """The method that stays within the margin down to the smallest size, and that size; of equals the least loss."""

    def within(name: str) -> list[float | int]:
        return list(takewhile(lambda size: proposals[name, size] <= MARGIN * max_loss, sizes))

    name = min(methods, key=lambda name: (-len(within(name)), sum(proposals[name, size] for size in sizes)))
    return name, [sizes[0], *within(name)][-1]


def _certified(
    trial: Trial,
    certifying: _Watched,
    question: _Question,
    method: str,
    selections: Mapping[float | int, Selection],
) -> Iterator[SizeTest]:
    """Each size in turn, up to the first that fails."""
    rows = trial.parts.train.rows

    def right(chosen: Dataset) -> NDArray[np.bool_]:
        return certifying.right(trial.predictions(chosen, positions_in(rows, chosen), certifying.part, 0))

    full = right(rows)
    for size, selection in selections.items():
        chosen = rows_of(rows, selection)
        certificates = certify_groups(
            full, right(chosen), certifying.codes, certifying.names, question.max_loss, confidence=question.confidence
        )
        tested = SizeTest(method, size, len(chosen), certificates)
        yield tested
        if not tested.passed:
            return


def _of_dataset(dataset: Dataset, parts: Parts, selection: Selection) -> Dataset:
    """The coreset as one of the whole dataset, of which the training part may be a share."""
    if len(parts.positions) == len(dataset):
        return rows_of(dataset, selection)
    whole = replace(selection.among(parts.positions, len(dataset)), source=Source.of(dataset))
    pruned, earlier = dataset.select(whole.indices), live_selection(dataset)
    return (whole if earlier is None else whole.after(earlier)).attach(pruned)
