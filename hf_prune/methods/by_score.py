"""Keeping rows by a score: those at its hard end, at its easy end, or in the middle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

import numpy as np

from hf_prune.arguments import did_you_mean, one_of
from hf_prune.config import PRUNE_KEYWORDS, named, registered
from hf_prune.errors import ArgumentTypeError
from hf_prune.kernels import Floats
from hf_prune.methods.base import Method
from hf_prune.methods.choice import Choice
from hf_prune.methods.score import A_SCORE, Prefer, Score
from hf_prune.signals.signals import Signals


@dataclass(frozen=True)
class ByScore(Method):
    """Keeps the rows at one end, or in the middle, of a score.

    `prune("aum", prefer="hard", epochs=5)` is `prune(ByScore(AUM(epochs=5), prefer="hard"))`. Of rows with the same
    score the lowest is kept first.

    Args:
        score: what rows are ranked by.
        prefer: keep the "hard" end, the "easy" end, or the "middle" (ranks nearest to the median). None is what the
            score's paper does.

    Cost: that of the score, and O(n log n).

    >>> from datasets import Dataset
    >>> import hf_prune
    >>> ds = Dataset.from_dict({"x": "abcde"})
    >>> ds.prune("given_scores", keep=2, scores=[3, 9, 1, 7, 5], prefer="easy")["x"]
    Column(['a', 'c'])
    """

    name: ClassVar[str] = "by_score"

    score: Score = field(metadata=A_SCORE)
    prefer: Prefer | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        prefer = self.score.prefer if self.prefer is None else self.prefer
        object.__setattr__(self, "prefer", one_of("prefer", prefer, get_args(Prefer)))

    def scores(self, signals: Signals, seed: int) -> Floats:
        return self.score.scores_of(signals, seed)

    def select(self, signals: Signals, budget: int, seed: int) -> Choice:
        scores = self.scores(signals, seed)
        hardest_first = -scores if self.score.higher_is == "harder" else scores
        if self.prefer == "middle":
            place = np.empty(len(scores), dtype=np.int64)
            place[np.argsort(hardest_first, kind="stable")] = np.arange(len(scores))
            key = np.abs(2 * place - (len(scores) - 1))
        else:
            key = hardest_first if self.prefer == "hard" else -hardest_first
        return Choice(np.argsort(key, kind="stable")[:budget], scores)


def as_method(argument: str, value: Any, options: Mapping[str, Any] | None = None) -> Method:
    """What users pass as a method: an object, or where `options` are given also a name; a score keeps by itself.

    Args:
        argument: what the caller's user calls it.
        options: the method's own, and of a score also `prefer`; None where a name is refused.
    """
    if isinstance(value, str) and options is not None:
        return _named(value, dict(options))
    if not isinstance(value, Method | Score):
        by_name = 'a name such as "d2" or an object such as D2()'
        wanted = "a Method such as `hf_prune.Random()`" if options is None else by_name
        raise ArgumentTypeError(f"`{argument}`: wanted {wanted}, got {value!r}")
    if options:
        if isinstance(value, Score) and set(options) == {"prefer"}:
            raise ArgumentTypeError(
                f"`{argument}`: a score has no `prefer`; pass ByScore({value!r}, prefer={options['prefer']!r})"
            )
        hint = did_you_mean(next(iter(options)), PRUNE_KEYWORDS)
        raise ArgumentTypeError(
            f"unknown keywords {sorted(options)}.{hint} The method is an object, {value!r}: give its options there"
        )
    return ByScore(value) if isinstance(value, Score) else value


def spelled(name: str) -> str:
    """The name of a method or score that `name` spells in another way, as "EL2N" or "per-class"; else `name`.

    >>> spelled("EL2N"), spelled("Image-text similarity"), spelled("el2m")
    ('el2n', 'image_text_similarity', 'el2m')
    """
    known = {plain(of): of for of in (*registered("score"), *registered("method"))}
    return known.get(plain(name), name)


def plain(name: str) -> str:
    """A name without case, spaces, hyphens and underscores."""
    return "".join(character for character in name.casefold() if character not in " -_")


def _named(name: str, options: dict[str, Any]) -> Method:
    name, scores = spelled(name), registered("score")
    if name in scores:
        prefer = options.pop("prefer", None)
        return ByScore(named("score", name, options, known=[*PRUNE_KEYWORDS, "prefer"]), prefer)
    method: Method = named("method", name, options, known=PRUNE_KEYWORDS, beside=scores)
    return method
