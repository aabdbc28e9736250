"""The package: what it imports is declared, what it tells to install is there, and its page stands by itself."""

import ast
import email
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import hf_prune

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
FOR_THE_PACKAGE = set(EXTRAS) - {"bench", "demo", "dev", "test"}


def distribution(requirement):
    return re.match(r"[\w-]+", requirement)[0].lower().replace("_", "-")


def imported():
    """The distributions that the package imports, wherever in it; of a module that isn't installed its name."""
    modules = set()
    for path in (ROOT / "hf_prune").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module.partition(".")[0])
    known = packages_distributions()
    return {distribution(known.get(one, [one])[0]) for one in modules - sys.stdlib_module_names - {"hf_prune"}}


def declared(*extras):
    return {distribution(one) for name in extras for one in EXTRAS[name]} | {
        distribution(one) for one in PROJECT["dependencies"]
    }


def test_what_is_imported_is_declared():
    assert imported() - declared(*FOR_THE_PACKAGE) == set()


def test_what_is_required_is_imported():
    assert declared() - imported() == set()


def test_every_requirement_has_a_lower_bound():
    every = [one for several in (PROJECT["dependencies"], *EXTRAS.values()) for one in several]
    assert [one for one in every if ">=" not in one and not one.startswith("hf_prune[")] == []


def test_every_folder_of_modules_is_found():
    folders = {path.parent for path in (ROOT / "hf_prune").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_what_is_told_to_install_is_there():
    pages = [*ROOT.glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]
    modules = [*(ROOT / "hf_prune").rglob("*.py"), *(ROOT / "trainers").rglob("*.py")]
    told = re.findall(r"hf_prune\[([\w,-]+)\]", " ".join(path.read_text(encoding="utf-8") for path in pages + modules))
    assert len(told) > 5
    assert {name for names in told for name in names.split(",")} - set(EXTRAS) == set()


@pytest.mark.process
def test_the_page_and_the_version(tmp_path):
    (tmp_path / "hf_prune").mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "hf_prune/__init__.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    code = "from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel('.')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    metadata = email.message_from_string(next(tmp_path.glob("*.dist-info/METADATA")).read_text(encoding="utf-8"))
    assert metadata["Version"] == hf_prune.__version__
    page, readme = metadata.get_payload(), (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.compile(r"\]\((.+?)\)")
    assert links.findall(page)
    assert [link for link in links.findall(page) if not link.startswith("https://")] == []
    assert set(links.findall(page)) == {link for link in links.findall(readme) if link.startswith("https://")}
    blocks = re.compile(r"```.*?```", re.DOTALL)
    assert blocks.findall(page) == blocks.findall(readme)
