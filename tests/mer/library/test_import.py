"""`import mer` is cheap, and its names are all there, once each, for people and for tools."""

from __future__ import annotations

import ast
import importlib.metadata
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mer

ROOT = Path(mer.__file__).parents[1]


def test_it_loads_no_heavy_library() -> None:
    program = (
        "import sys, mer; dir(mer); "
        "print([name for name in ('torch', 'numpy', 'pydantic', 'pandas', 'scipy') if name in sys.modules], "
        "[name for name in sys.modules if name.startswith('mer.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"


def test_every_name_is_found_where_it_says() -> None:
    for name in mer.__all__:
        assert getattr(mer, name) is not None
        assert name in dir(mer)
    assert mer.Fusion.__module__ == "mer.library.estimator"
    assert set(mer.__all__) == {*mer._MODULES, "__version__"}


def test_tools_see_the_same_names_as_python() -> None:
    tree = ast.parse(Path(mer.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == mer._MODULES


def test_no_name_is_hidden_by_a_module_of_the_package() -> None:
    modules = {module.name for module in pkgutil.iter_modules(mer.__path__)}
    assert not modules & set(mer.__all__)


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Fusions'"):
        mer.Fusions  # noqa: B018
    from mer import emotions  # modules are still found

    assert emotions.MER_EMOTIONS


def test_version_is_that_of_the_distribution() -> None:
    assert mer.__version__ == importlib.metadata.version("mer-pipeline")


def test_types_are_in_the_wheel_and_examples_are_not() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "py.typed" in settings["tool"]["setuptools"]["package-data"]["mer"]
    assert (ROOT / "mer" / "py.typed").read_text() == ""
    assert not any(
        name.startswith("examples") for name in settings["tool"]["setuptools"]["packages"]["find"]["include"]
    )


def test_every_public_name_has_an_example() -> None:
    for function in (
        mer.cross_validate,
        mer.extract,
        mer.load_model,
        mer.read_clips,
        mer.score,
        mer.study_layers,
    ):
        assert ">>> " in (function.__doc__ or ""), function
    for kind in (mer.Fusion, mer.Model):
        for name, method in vars(kind).items():
            if callable(method) and not name.startswith("_"):
                assert ">>> " in (method.__doc__ or ""), name
