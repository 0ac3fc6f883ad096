"""Where the version comes from, and the command that makes it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from infra.shown_address import shown_address
from mer.errors import MerError
from mer.recipes import Recipe, load_recipe
from mer.report.blocks import Block, Command, Remark, Section, Table
from tasks.data.face_detectors import settled_recipe
from tasks.report.collected import Collected

MOST_OPTIONS = 8
"""More options than that are said by a recipe file."""
_SAID = {
    "recipe": "recipe",
    "corpus": "corpus",
    "code": "version of the code",
    "commit": "commit",
    "changed": "files differ from the commit",
    "flow": "flow",
    "flow_run_name": "flow run",
    "flow_run": "page of the flow run",
    "by": "started by",
}


def origin(found: Collected) -> Section:
    """The record of the version, versions of libraries, and the command."""
    row = found.row
    known = row.origin or {}
    rows: list[tuple[str, str]] = [("registered (UTC)", f"{row.created_at:%Y-%m-%d %H:%M}")]
    rows += [(title, shown_address(known[name])) for name, title in _SAID.items() if name in known]
    record = found.space.catalogue.artifact_record(row.artifact)
    libraries = dict(record.libraries) if record is not None else {}
    rows += [(f"library {name}", version) for name, version in sorted(libraries.items())]
    blocks: list[Block] = [Table(caption="Provenance", columns=("what", "value"), rows=tuple(rows))]
    blocks += _again(found)
    return Section(name="origin", title="Where it comes from", blocks=tuple(blocks))


def recipe_file(found: Collected) -> str:
    """Name of the recipe's file beside the report."""
    return f"{found.row.name}-v{found.row.version}.recipe.yaml"


def _again(found: Collected) -> list[Block]:
    known = found.row.origin or {}
    words = ["mer", "run"]
    options = changed_options(found)
    beside = options is None or len(options) > MOST_OPTIONS
    words += ["--recipe", recipe_file(found) if beside else str(known.get("recipe"))]
    if options is not None and not beside:
        words += [word for option in options for word in ("--set", option)]
    catalogued = {row.name: row for row in found.space.catalogue.corpora()}
    if found.corpus in catalogued:
        words += ["--corpus", shown_address(str(catalogued[found.corpus].root)), "--name", found.corpus]
    words += ["--model", found.row.name]
    said = "This makes it again"
    said += f" at commit {known['commit'][:12]}" if "commit" in known else ""
    said += ", with the recipe's file that lies beside this report" if beside else ""
    said += ". Stages that are still there are found and not computed again:"
    return [Remark(parts=(said,)), Command(text=shlex.join(words))]


def changed_options(found: Collected) -> list[str] | None:
    """Options by which the version's recipe differs from the built-in one of its name, PATH=VALUE each; None: there is none."""
    name = (found.row.origin or {}).get("recipe", "")
    try:
        base = settled_recipe(load_recipe(name), found.space.settings)
    except (MerError, OSError):
        return None
    return list(_different(_values(base), _values(found.package.recipe)))


def _values(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude={"description"})


def _different(base: Mapping[str, Any], other: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name in dict.fromkeys([*base, *other]):
        first, second, path = base.get(name), other.get(name), f"{before}{name}"
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            yield from _different(first, second, f"{path}.")
        elif first != second:
            yield f"{path}={json.dumps(second)}"
