"""Stubs by which type checkers see `ds.prune(...)`: `python -m hf_prune.typings [FOLDER]`.

`import hf_prune` adds to classes of datasets what no type checker sees. The stubs are a partial stub package (PEP 561)
with the signatures of the datasets that is installed and ours among them. They are written beside it, where mypy and
pyright look by themselves, or into FOLDER, such as the `typings` of a project that pyright reads. Run it again when
datasets has changed.
"""

import ast
import importlib
import inspect
import sys
from pathlib import Path

import datasets

from hf_prune.errors import ArgumentError

NAME = "datasets-stubs"
MARK = "# Written by `python -m hf_prune.typings`"

_IMPORTED = "from hf_prune import Selection as _Selection, prune as _prune"
_ADDED = {
    "Dataset": "prune = _prune\n@property\ndef selection(self) -> _Selection: ...",
    "DatasetDict": "prune = _prune\n@property\ndef selection(self) -> dict[str, _Selection]: ...",
}
_TYPED = {"classmethod", "contextlib.contextmanager", "overload", "property", "staticmethod"}
"""Decorators that stay. Those of datasets' own are untyped and would hide the signature from mypy."""


def write_stubs(folder: Path) -> Path:
    """Write the stub package into `folder`, in place of an earlier one of ours; returns its path.

    Raises:
        ArgumentError: there is another package of this name.
    """
    stubs = folder / NAME
    if any(MARK not in path.read_text(encoding="utf-8") for path in stubs.rglob("*.pyi")):
        raise ArgumentError(f"`FOLDER`: another package has written {stubs}; remove it, or name another folder")
    stubs.mkdir(parents=True, exist_ok=True)
    for module in {getattr(datasets, name).__module__ for name in _ADDED}:
        text = f"{MARK} from datasets {datasets.__version__}.\n# mypy: ignore-errors\n{_stub(module)}\n"
        (stubs / f"{module.removeprefix('datasets.')}.pyi").write_text(text, encoding="utf-8")
    (stubs / "py.typed").write_text("partial\n", encoding="utf-8")
    return stubs


def _stub(module: str) -> str:
    """The source of a module without what its functions do, and with what we add to its classes."""
    tree = _WithoutBodies().visit(ast.parse(inspect.getsource(importlib.import_module(module))))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in classes:
        node.body += ast.parse(_ADDED.get(node.name, "")).body
    tree.body.insert(tree.body.index(classes[0]), *ast.parse(_IMPORTED).body)
    return ast.unparse(tree)


class _WithoutBodies(ast.NodeTransformer):
    """Leaves of functions their signatures and docstrings, and of `__init__` also what sets the attributes."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.decorator_list = [one for one in node.decorator_list if ast.unparse(one) in _TYPED]
        if node.name != "__init__":
            documented = ast.get_docstring(node) is not None
            node.body = [*node.body[:documented], ast.Expr(ast.Constant(...))]
        return node


if __name__ == "__main__":
    beside = Path(datasets.__file__).parents[1]
    print(f"wrote {write_stubs(Path(sys.argv[1]) if sys.argv[1:] else beside)}")
