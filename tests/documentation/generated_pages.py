"""Pages that are written from the code: every option of a recipe, and what `import mer` offers."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import mer
from mer.recipes import load_recipe
from mer.recipes.describe import OptionDescription, describe_recipe, describe_recipes

ROOT = Path(__file__).parents[2]
WRITTEN = "<!-- Written by WRITE_SNAPSHOTS=1 python -m pytest tests/documentation from the code: change it there. -->"
MODALITIES = ("acoustic", "visual", "lexical")


@lru_cache
def options_page() -> str:
    """Every option of a recipe: groups as sections, options of streams once for all modalities that have them alike."""
    sections: dict[str, list[tuple[str, OptionDescription]]] = {}
    heads: dict[str, str] = {}
    for option in describe_recipe(load_recipe("demo")):
        path, modality = _of_any_stream(option.path)
        if option.group:
            heads.setdefault(path, option.meaning)
            sections.setdefault(path, [])
            continue
        group = path.rpartition(".")[0]
        sections.setdefault(group, []).append((modality, option))
    lines = [
        WRITTEN, "", "# Every option of a recipe", "",
        "What stands in a recipe's YAML file, or behind `--set`. `mer recipes NAME` prints the same with the values of one",
        "recipe; how recipes are put together: [Recipes](recipes.md). `NAME` is a stream (`acoustic`, `visual`, `lexical`, or",
        "any name of yours); an option that only one modality has says so.", "", "## Built-in recipes", "",
        "| recipe | what | extends | needs |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for recipe in describe_recipes():
        needs = ", ".join(f"`{need}`" for need in recipe.needs) or "no download"
        lines.append(f"| `{recipe.name}` | {_cell(recipe.description)} | {recipe.extends or ''} | {needs} |")
    for group, options in sections.items():
        lines += ["", f"## {group or 'At the top'}", ""]
        if heads.get(group):
            lines += [heads[group], ""]
        if options:
            lines += ["| option | may be | default | meaning |", "| --- | --- | --- | --- |", *_rows(options)]
    return "\n".join(lines).rstrip() + "\n"


def _of_any_stream(path: str) -> tuple[str, str]:
    first, _, rest = path.partition(".")
    modality, _, below = rest.partition(".")
    if first != "streams" or modality not in MODALITIES:
        return path, ""
    return f"streams.NAME{'.' + below if below else ''}", modality


def _rows(options: list[tuple[str, OptionDescription]]) -> Iterator[str]:
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for modality, option in options:
        name = _of_any_stream(option.path)[0].rpartition(".")[2]
        default = "" if option.required else f"`{option.default_text}`"
        alike.setdefault((name, option.allowed, default, option.meaning), []).append(modality)
    for (name, allowed, default, meaning), modalities in alike.items():
        only = "" if "" in modalities or len(modalities) == len(MODALITIES) else f" ({', '.join(modalities)})"
        yield f"| `{name}`{only} | {_cell(allowed)} | {_cell(default or 'must be given')} | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


@lru_cache
def api_page() -> str:
    """What `import mer` offers, out of signatures and docstrings; nothing is imported for it."""
    lines = [
        WRITTEN, "", "# API", "",
        "What `import mer` offers, by name. A tour with examples: [The library](library.md). Names are loaded when they are",
        "first used.",
    ]  # fmt: skip
    for name in (name for name in mer.__all__ if not name.startswith("__")):
        module, node = _defined(mer._MODULES[name], name)
        lines += ["", f"## {name}", "", f"*{module}*", ""]
        lines += _described(node, name)
    return "\n".join(lines).rstrip() + "\n"


Node = ast.ClassDef | ast.FunctionDef | ast.AnnAssign | ast.Assign


def _defined(module: str, name: str) -> tuple[str, Node]:
    """The definition of a name, through what modules import from others."""
    path = ROOT / Path(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            return module, node
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in node.targets
        ):
            return module, node
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and any(alias.name == name for alias in node.names)
        ):
            return _defined(node.module, name)
    raise LookupError(f"{module}: expected a definition of {name}")


def _described(node: Node, name: str) -> list[str]:
    if isinstance(node, ast.FunctionDef):
        return [_signature(node), "", *_text(node)]
    if not isinstance(node, ast.ClassDef):
        return [f"A value: `{name}`."]
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    made = next(
        (item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None
    )
    lines = [
        _signature(made, name) if made is not None else f"```python\nclass {name}{f'({bases})' if bases else ''}: ...\n```",
        "", *_text(node),
    ]  # fmt: skip
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_") and ast.get_docstring(item):
            lines += ["", f"### {name}.{item.name}", "", _signature(item), "", *_text(item)]
    return lines


def _signature(node: ast.FunctionDef, name: str = "") -> str:
    marks = {ast.unparse(mark) for mark in node.decorator_list}
    if "property" in marks:
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"```python\n{node.name}{returns.replace(' ->', ':')}  # a property\n```"
    arguments = ast.unparse(node.args)
    for first in ("self, ", "cls, ", "self", "cls"):
        if arguments.startswith(first):
            arguments = arguments.removeprefix(first).removeprefix("/, ")
            break
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and not name else ""
    text = f"def {name or node.name}({arguments}){returns}: ..."
    if len(text) > 100:
        text = text.replace("(", "(\n    ", 1).replace(", *, ", ",\n    *,\n    ")
    return f"```python\n{text}\n```"


def _text(node: ast.ClassDef | ast.FunctionDef) -> list[str]:
    """A docstring as Markdown: its lists of arguments as lists."""
    lines: list[str] = []
    section = False
    for line in textwrap.dedent(ast.get_docstring(node) or "").splitlines():
        bare = line.strip()
        if bare in ("Args:", "Returns:", "Raises:", "Attributes:"):
            section = True
            lines += ["", f"**{bare.removesuffix(':')}**", ""]
        elif section and line.startswith("    ") and not line.startswith("     "):
            name, colon, rest = bare.partition(": ")
            lines.append(f"- `{name}`: {rest}" if colon and "`" not in name else f"- {bare}")
        elif section and line.startswith("     "):
            lines.append(f"  {bare}")
        else:
            section = section and not bare
            lines.append(line)
    return [line.replace("<", "&lt;") if not line.startswith("    ") else line for line in lines]
