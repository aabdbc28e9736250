"""Whose code is it, what does it refer to, and what does it say: of functions, classes and modules."""

import dis
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
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


def version_of(module: str) -> str:
    root = sys.modules.get(module.partition(".")[0])
    return str(getattr(root, "__version__", ""))


def source_file(module: str, package: str | None) -> str:
    """Returns the digest of the file of a module of the user's, which code imports while it runs; nothing of others.

    Args:
        package: of the code, in case the module is named from there.
    """
    for name in (module, f"{package}.{module}".rstrip(".")):
        try:
            root = importlib.util.find_spec(name.partition(".")[0])
            spec = importlib.util.find_spec(name) if root is not None and _is_own_file(root) else None
        except (ImportError, ValueError):  # it may have no module at all
            continue
        if spec is not None and spec.origin is not None and Path(spec.origin).is_file():
            return hashlib.blake2b(Path(spec.origin).read_bytes(), digest_size=16).hexdigest()
    return ""


class Names(NamedTuple):
    """Holds what code names: global names, attributes of anything, and modules that it imports while it runs."""

    globals: list[str]
    attributes: list[str]
    imports: list[str]


def names_in(code: CodeType) -> Names:
    found: dict[str, set[str]] = {"GLOBAL": set(), "ATTR": set(), "IMPORT": set()}
    for part in _with_inner(code):
        for step in dis.get_instructions(part):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                found["GLOBAL"].add(step.argval)
            elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                found["ATTR"].add(step.argval)
            elif step.opname == "IMPORT_NAME":
                found["IMPORT"].add(step.argval)
    return Names(*map(sorted, found.values()))


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
