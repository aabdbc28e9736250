"""Whose code is it, what does it refer to, and what does it say: of functions, classes and modules."""

import dis
import functools
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import metadata
from importlib.machinery import ModuleSpec
from itertools import chain
from operator import attrgetter
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

STANDARD = Path(sysconfig.get_path("stdlib"))
INSTALLED = {"site-packages", "dist-packages"}
"""Folders of installed libraries, whose code changes with their version only."""


def is_own(module: str | None) -> bool:
    """Tells whether a module is the user's own, in place of an installed library's."""
    root = (module or "__main__").partition(".")[0]
    spec = getattr(sys.modules.get(root), "__spec__", None)
    if root in ("hf_prune", "builtins") or root in sys.builtin_module_names:
        return False
    return root == "__main__" or spec is None or _is_own_file(spec)


def _is_own_file(spec: ModuleSpec) -> bool:
    folders = spec.submodule_search_locations or []
    file = spec.origin if spec.has_location else next(iter(folders), None)
    if file is None:  # built into Python
        return False
    path = Path(file)
    return not INSTALLED & set(path.parts) and STANDARD not in path.parents


def is_named(thing: Any) -> bool:
    """Tells whether a function or class is what its module has under its name, and not made by a call."""
    try:
        return attrgetter(thing.__qualname__)(sys.modules[thing.__module__]) is thing
    except (AttributeError, KeyError):
        return False


@functools.cache
def version_of(module: str) -> str:
    root = module.partition(".")[0]
    try:
        return metadata.version(root)
    except metadata.PackageNotFoundError:  # the package may have another name than its module
        return str(getattr(sys.modules.get(root), "__version__", ""))


def sources(modules: Iterable[str]) -> dict[str, str]:
    """Returns the digests of the files of the user's modules among these, and of all that they import."""
    found: dict[str, str] = {}
    left = list(modules)
    while left:
        module = left.pop()
        file = _own_file(module) if module not in found else None
        if file is None:
            continue
        content = file.read_bytes()
        found[module] = hashlib.blake2b(content, digest_size=16).hexdigest()
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        with suppress(SyntaxError, ValueError):  # no Python
            left += imports_in(compile(content, str(file), "exec", dont_inherit=True), package)
    return found


def _own_file(module: str) -> Path | None:
    """Returns the file of a module of the user's, and None for others; nothing is imported for that."""
    root, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):  # it may be no module at all
        return None
    if spec is None or not _is_own_file(spec):
        return None
    if not inner:
        return Path(spec.origin) if spec.origin is not None and Path(spec.origin).is_file() else None
    places = [Path(folder, *inner) for folder in spec.submodule_search_locations or ()]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return next(filter(Path.is_file, files), None)


class Names(NamedTuple):
    """Holds what code names: global names, and attributes of anything."""

    globals: list[str]
    attributes: list[str]


def names_in(code: CodeType) -> Names:
    names, attributes = set(), set()
    for step in chain.from_iterable(map(dis.get_instructions, _with_inner(code))):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.add(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.add(step.argval)
    return Names(sorted(names), sorted(attributes))


def imports_in(code: CodeType, package: str | None) -> set[str]:
    """Returns the full names of modules that code imports while it runs, and of what may be one of their parts.

    Args:
        package: what the code is in, for imports that are relative to it.
    """
    found: set[str] = set()
    for part in _with_inner(code):
        steps = [step for step in dis.get_instructions(part) if step.opname != "EXTENDED_ARG"]
        for level, wanted, step in zip(steps, steps[1:], steps[2:], strict=False):
            if step.opname != "IMPORT_NAME":
                continue
            try:
                module = importlib.util.resolve_name("." * level.argval + step.argval, package)
            except ImportError:  # beyond the top
                continue
            found |= {module.rsplit(".", less)[0] for less in range(module.count(".") + 1)}
            found |= {f"{module}.{name}" for name in wanted.argval or ()}
    return found


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


def described(constant: Any) -> str:
    """Returns what code or a constant in it says, and nothing of where it stands."""
    if isinstance(constant, CodeType):
        variables = (constant.co_names, constant.co_varnames, constant.co_freevars, constant.co_cellvars)
        counts = (constant.co_argcount, constant.co_posonlyargcount, constant.co_kwonlyargcount, constant.co_flags)
        constants = [described(inner) for inner in constant.co_consts]
        return f"{constant.co_code!r} {variables} {counts} {constants} {constant.co_exceptiontable!r}"
    if isinstance(constant, tuple):
        return f"({', '.join(map(described, constant))},)"
    if isinstance(constant, frozenset):  # its order is another in each process
        return f"{{{', '.join(sorted(map(described, constant)))}}}"
    return repr(constant)
