"""A digest of all that decides what an encoder computes: its state, and its code where that is no library's.

It is made of contents alone, never of an address, a hash, a rank or the order of a set or dict: so it is the same in
another process, and whether equal things are one or two. No digest sees what code reads while it runs, such as a file
or a service: `embed` compares some rows for that.
"""

import hashlib
import pickle
from collections.abc import Container
from types import EllipsisType, NoneType
from typing import Any

from torch import nn

from hf_prune.embeddings.content import Parts, content_of
from hf_prune.errors import ArgumentError
from hf_prune.models import evaluation_mode

PLAIN = frozenset({bool, int, float, complex, str, bytes, NoneType, EllipsisType})
"""Types whose values are told apart by what `repr` writes."""


def fingerprint(argument: str, thing: Any, without: Container[str] = ()) -> str:
    """Digests a model, a processor or a function by all that decides what it computes.

    Args:
        argument: what the user calls it, for the message.
        without: names of weights of the model that decide no vector.

    Raises:
        ArgumentError: it refers to something that can't be read, such as an open connection.
    """
    try:
        if not isinstance(thing, nn.Module):
            return _Digester({}, {}).digest(thing).hex()
        weights = [weight for name, weight in thing.named_parameters() if name in without]
        known = {id(weight): (_hashed(f"any {weight.dtype} {tuple(weight.shape)}"), weight) for weight in weights}
        with evaluation_mode(thing):  # as it computes
            return _Digester(known, {}).digest(thing).hex()
    except (pickle.PickleError, TypeError, ValueError, AttributeError, RuntimeError, OSError, ImportError) as error:
        kind = f"a {type(thing).__name__}" if isinstance(thing, nn.Module) else repr(thing)
        raise ArgumentError(
            f"`{argument}`: can't tell {kind} from others ({type(error).__name__}: {error}); pass "
            'cache_key="...", a text that you change whenever the vectors do'
        ) from error


class _Digester:
    """Digests things by the digests of what they consist of."""

    def __init__(self, known: dict[int, tuple[bytes, Any]], entered: dict[int, int]) -> None:
        """Takes what is known already, by address.

        Args:
            known: digests, with the things, so that no other gets their addresses meanwhile.
            entered: how deep the things lie that this one is a part of.
        """
        self._known, self._entered = known, entered

    def digest(self, thing: Any) -> bytes:
        if type(thing) in PLAIN:
            return _hashed(f"{type(thing).__name__} {thing!r}")
        if id(thing) in self._known:
            return self._known[id(thing)][0]
        depth = len(self._entered)
        if id(thing) in self._entered:  # a part that refers to the whole
            return _hashed(f"{depth - self._entered[id(thing)]} levels up")
        self._entered[id(thing)] = depth
        digest = self._of(*content_of(thing))
        del self._entered[id(thing)]
        self._known[id(thing)] = digest, thing
        return digest

    def _of(self, kind: str, parts: Parts) -> bytes:
        whole = hashlib.blake2b(f"{kind} {len(parts)} ".encode(), digest_size=16)
        if isinstance(parts, dict):
            values = list(parts.values())
            for key, at in sorted((self._apart(key), at) for at, key in enumerate(parts)):
                whole.update(key + self.digest(values[at]))
        elif isinstance(parts, set | frozenset):
            whole.update(b"".join(sorted(map(self._apart, parts))))
        elif all(type(part) in PLAIN for part in parts):  # fast, for a million numbers
            whole.update(repr(list(parts)).encode())
        else:
            for part in parts:
                whole.update(self.digest(part))
        return whole.digest()

    def _apart(self, thing: Any) -> bytes:
        """Digests something as if nothing beside it had been read, for whatever has no order."""
        if type(thing) in PLAIN:
            return self.digest(thing)
        return _Digester(dict(self._known), dict(self._entered)).digest(thing)


def _hashed(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
