"""The order of the rooms: a module imports from its own room and from those below it, and no import leads back.

Late imports, imports for types only and modules that are named in a text count too.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hf_prune"

FLOORS = [
    ["__main__"],
    ["cli"],
    ["hf_prune"],  # its __init__.py
    ["attach", "testing", "typings"],
    ["comparison", "publish"],
    ["dataset"],
    ["methods"],
    ["signals"],
    ["selection"],
    ["recording"],
    ["embeddings"],
    ["dynamics"],
    ["hub", "plots", "metrics", "models", "sources"],
    ["kernels"],
    ["ground"],
]
"""The rooms, from the top floor down: folders, and modules that are a room of their own."""

GROUND = {"arguments", "budget", "config", "digest", "errors", "files", "groups", "labels", "recalls"}
FLOOR = {room: floor for floor, rooms in enumerate(reversed(FLOORS)) for room in rooms}
MODULES = {
    ".".join(("hf_prune", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def room_of(module: str) -> str:
    room = [*module.split("."), "hf_prune"][1]
    return "ground" if room in GROUND else room


def imported_by(module: str) -> set[str]:
    """The modules of the package that a module names, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names |= {name if name in MODULES else str(node.module) for name in whole}
        elif isinstance(node, ast.Constant) and str(node.value).startswith("hf_prune."):
            names.add(str(node.value))  # as importlib.import_module takes it
    return (names - {module}) & set(MODULES)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_run_down(module):
    own = room_of(module)
    others = {other: room_of(other) for other in imported_by(module)}
    assert not [other for other, room in others.items() if room != own and FLOOR[room] >= FLOOR[own]]


def test_no_import_leads_back():
    try:
        TopologicalSorter({module: imported_by(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"these modules import each other: {' <- '.join(error.args[1])}")


def test_the_root_stays_small():
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__main__.py"}  # whose place and name are Python's
    assert len(modules) <= 18


def test_every_room_says_what_it_owns():
    rooms = {module: path for module, path in MODULES.items() if path.name == "__init__.py"}
    assert len(rooms) > 9
    assert [module for module, path in rooms.items() if not ast.get_docstring(ast.parse(path.read_text()))] == []
