"""Frozen dataclasses that can be written as JSON and read back, nested ones too: methods, scores and quotas."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from hf_prune.arguments import did_you_mean, one_of, text, true_or_false
from hf_prune.errors import ArgumentError, ArgumentTypeError

_REGISTRY: dict[str, dict[str, type["Configurable"]]] = {}

PRUNE_KEYWORDS = frozenset(
    {"dataset", "method", "keep", "seed", "quotas", "by", "cutoff", "label_column", "split", "unlabelled"}
    | {"scores", "embeddings", "encoder", "dynamics", "recalls"}
)
"""Words that `prune` takes itself, so that no option may have their name."""

_ASKED_FOR_ALIKE = {"method": "score", "score": "method"}
"""Kinds that `prune` takes by the same word, so that no two of them may have one name."""

_BY_TYPE: dict[Any, Callable[[str, Any], Any]] = {bool: true_or_false, str: text}


class Configurable:
    """Base of methods, scores and quotas: a named, frozen dataclass whose fields are all of its options.

    A subclass with a `name` of its own is registered when its module is imported; `to_config` writes it as
    `{<kind>: <name>, <option>: <value>, ...}`.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    reads: ClassVar[frozenset[str]] = frozenset()
    """The signals that this class itself reads; `needs` adds those of the parts it is composed of."""

    reference: ClassVar[str] = ""
    """What to cite: authors, title, year and where it is published."""

    libraries: ClassVar[tuple[str, ...]] = ()
    """Packages whose versions decide the result, beside numpy and datasets."""

    handed_over: ClassVar[frozenset[str]] = frozenset()
    """Keywords of `prune` that are options here too: `prune` hands them over."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if taken := sorted(PRUNE_KEYWORDS & set(inspect.get_annotations(cls)) - cls.handed_over):
            raise ArgumentError(f"{cls.__name__}: `prune` takes {taken} itself; give these options other names")
        if "name" in cls.__dict__:
            other = _ASKED_FOR_ALIKE.get(cls.kind, "")
            if cls.name in _REGISTRY.get(other, {}):
                raise ArgumentError(f"{cls.__name__}: {cls.name!r} is a {other} already; give it another name")
            _REGISTRY.setdefault(cls.kind, {})[cls.name] = cls

    def __post_init__(self) -> None:
        """Check the options, and make plain Python values of them: by their types, and by what `checked` asks for."""
        cls: Any = type(self)
        try:
            kinds = get_type_hints(cls)
        except NameError:  # a type whose name is known only inside a function, or to type checkers
            kinds = {}
        for field in dataclasses.fields(cls):
            value, kind = getattr(self, field.name), kinds.get(field.name)
            if get_origin(kind) is Literal:
                one_of(field.name, value, get_args(kind))
            check = field.metadata.get("check", _BY_TYPE.get(kind))
            if check is not None and not (value is None and field.default is None):
                object.__setattr__(self, field.name, check(field.name, value))

    @property
    def needs(self) -> frozenset[str]:
        """Names of the signals that it will read."""
        return self.reads.union(*(part.needs for part in self.parts().values()))

    def parts(self) -> dict[str, "Configurable"]:
        """The fields that hold methods, scores or quotas."""
        options = {option: getattr(self, option) for option in options_of(type(self))}
        return {option: value for option, value in options.items() if isinstance(value, Configurable)}

    def walk(self) -> Iterator["Configurable"]:
        """This object and all that it is composed of."""
        yield self
        for part in self.parts().values():
            yield from part.walk()

    def resolve(self, available: frozenset[str]) -> Self:
        """A copy with every choice made that depends on which signals there are; nothing is left to `select`."""
        resolved = {field: part.resolve(available) for field, part in self.parts().items()}
        return dataclasses.replace(self, **resolved) if resolved else self  # type: ignore[type-var]

    def to_config(self) -> dict[str, Any]:
        """Plain JSON values only.

        >>> import hf_prune
        >>> hf_prune.PerClass(hf_prune.EL2N(epochs=(0, 5)), quotas="equal").to_config()["quotas"]
        {'rule': 'equal'}
        """
        return {self.kind: self.name} | {field: _plain(getattr(self, field)) for field in options_of(type(self))}


def checked(check: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """The metadata of a field whose value is what `check(name, value, **options)` makes of the one that was given.

    None is taken as it is where it is the default.

    >>> from hf_prune.arguments import whole_number
    >>> k: int = dataclasses.field(default=10, metadata=checked(whole_number, at_least=1))
    """
    return {"check": functools.partial(check, **options)}


def options_of(cls: type) -> tuple[str, ...]:
    """Names of the options that a class takes, keyword-only ones last, as it takes them."""
    return tuple(field.name for field in sorted(dataclasses.fields(cls), key=lambda field: field.kw_only is True))


def registered(kind: str) -> dict[str, type[Configurable]]:
    """Every class of a kind ("method", "score", or "rule" for quotas) by name."""
    return dict(_REGISTRY.get(kind, {}))


def named(
    kind: str, name: str, options: Mapping[str, Any], *, known: Iterable[str] = (), beside: Iterable[str] = ()
) -> Any:
    """The `kind` called `name`, made with `options`; what is unknown is refused with the closest match.

    Args:
        known: other words that the caller takes as options, so that a slip in one of them is recognised too.
        beside: other names that the caller takes.
    """
    classes = _REGISTRY.get(kind, {})
    if name not in classes:
        names = sorted({*classes, *beside})
        raise ArgumentError(f"unknown {kind} {name!r}.{did_you_mean(name, names)} Available: {names}")
    cls = classes[name]
    taken = options_of(cls)
    for option in options:
        if option not in taken:
            hint = did_you_mean(option, [*taken, *known])
            raise ArgumentTypeError(f"{kind} {name!r} takes no option {option!r}.{hint} Its options: {list(taken)}")
    if required := [option for option in taken if option not in {*_defaults(cls), *options}]:
        raise ArgumentTypeError(f"{kind} {name!r} needs the option {required[0]!r}. Its options: {list(taken)}")
    return cls(**options)


def from_config(config: Mapping[str, Any]) -> Any:
    """The object that `to_config` described.

    Raises:
        ArgumentError: no such method, score, quotas or option, or a value that its class refuses.

    >>> import hf_prune
    >>> from_config({"method": "d2", "k": 5, "score": {"score": "aum"}}).score
    AUM(epochs=None)
    """
    kinds = [kind for kind in _REGISTRY if isinstance(config, Mapping) and isinstance(config.get(kind), str)]
    if len(kinds) != 1:
        raise ArgumentError(f"config: wanted a mapping with a name under one of {sorted(_REGISTRY)}, got {config!r}")
    options = {key: from_config(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    return named(kinds[0], options.pop(kinds[0]), options)


def describe(config: Mapping[str, Any]) -> str:
    """A config as one would type it, without the options that have their default.

    >>> import hf_prune
    >>> describe(hf_prune.PerClass(hf_prune.D2(k=5, gamma=1.0), quotas="equal").to_config())
    'per_class(d2(k=5), quotas=equal)'
    """
    (kind, name), *options = config.items()
    cls = _REGISTRY.get(kind, {}).get(name)
    defaults = _defaults(cls) if cls else {}  # a method of a package that is not imported
    shown = []
    for option, value in options:
        if option not in defaults or value != defaults[option]:
            keyword = f"{option}=" if option in defaults or not cls else ""
            shown.append(keyword + (describe(value) if isinstance(value, Mapping) else repr(value)))
    return f"{name}({', '.join(shown)})" if shown else str(name)


def _defaults(cls: type) -> dict[str, Any]:
    """The options that have a default, as they stand in a config."""
    defaults: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if default is not dataclasses.MISSING:
            defaults[field.name] = _plain(default)
    return defaults


def _plain(value: Any) -> Any:
    if isinstance(value, Configurable):
        return value.to_config()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
