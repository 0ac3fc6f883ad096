"""The code version follows what may run: names, imports, methods, variables of the task; not words about it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from mer.fusion.registry import fusion_implementations
from tasks.stage import module_source
from tasks.stage.code_version import closure_of, code_version, root_of, version_of
from tasks.stage.library_versions import library_versions

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules of a package `plug`, by name and text; what was known of it before is forgotten."""

    def written(**modules: str) -> None:
        for name, text in {"__init__": "", **modules}.items():
            if name != "__init__" or "__init__" in modules or not (folder / "__init__.py").exists():
                (folder / f"{name}.py").write_text(text)
        forget()

    def forget() -> None:
        for known in [name for name in module_source._parsed if name.startswith("plug")]:
            del module_source._parsed[known]
        module_source.module_path.cache_clear()
        version_of.cache_clear()

    folder = tmp_path / "plug"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield written
    forget()


def reached(*roots: str) -> set[str]:
    """`module:name` of what these roots may run within `plug`."""
    return {label.removeprefix("plug.") for label, _ in closure_of(roots).definitions}


def test_docstrings_comments_layout_and_descriptions_do_not_count(write: Write) -> None:
    write(a="def f(x):\n    return x + 1\n")
    plain = version_of(("plug.a:f",))
    write(a='"""Module."""\n\n\ndef f(x):\n    """Add one."""\n    # really\n    return (x + 1)\n')
    assert version_of(("plug.a:f",)) == plain
    write(a="def f(x):\n    return x + 2\n")
    assert version_of(("plug.a:f",)) != plain
    write(a='X = Field(default=1, description="one")\n')
    described = version_of(("plug.a:X",))
    write(a='X = Field(default=1, description="uno")\n')
    assert version_of(("plug.a:X",)) == described
    write(a='X = Field(default=2, description="one")\n')
    assert version_of(("plug.a:X",)) != described


def test_names_are_followed_to_where_they_are_defined(write: Write) -> None:
    write(
        __init__="from plug.b import again\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from plug.d import D\n"
        "def __getattr__(name):\n    if name == 'lazy':\n        from plug.c import lazy\n        return lazy\n"
        "    from plug.d import other\n    return other\n",
        a="from plug import again, lazy\nfrom . import e\nUSED = 1\nUNUSED = 2\n"
        "def f():\n    from plug.c import inside\n    again(USED); lazy(); inside(); e.g()\n",
        b="def again(): ...\ndef not_this(): ...\n",
        c="def lazy(): ...\ndef inside(): ...\ndef not_this(): ...\n",
        d="D = 1\nother = 2\n",
        e="def g(): return h()\ndef h(): ...\n",
    )
    assert reached("plug.a:f") == {"a:f", "a:USED", "b:again", "c:lazy", "c:inside", "e:g", "e:h"}


def test_local_names_hide_those_of_the_module(write: Write) -> None:
    write(
        a="x = y = z = w = 1\n"
        "def f(x, *, k=w):\n    y = x\n    g = [z for z in y]\n    return lambda: (x, y, g)\n"
        "def outer():\n    global z\n    z = 2\n    return z\n"
    )
    assert reached("plug.a:f") == {"a:f", "a:w"}
    assert reached("plug.a:outer") == {"a:outer", "a:z"}


def test_types_of_annotations_count_with_the_methods_that_are_read(write: Write) -> None:
    write(
        a="from plug.b import Options\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from plug.b import Other\n"
        "def f(options: Options, other: Other) -> int:\n    return options.part.doubled + other.tripled\n",
        b="class Part:\n    @property\n    def doubled(self): return self._two()\n    def _two(self): return 2\n"
        "    def unread(self): ...\n"
        "class Options(Base):\n    part: Part\n    def __init__(self): ...\n    def unread(self): ...\n"
        "class Other:\n    @property\n    def tripled(self): ...\n",
    )
    assert reached("plug.a:f") == {"a:f", "b:Part.doubled", "b:Part._two"}


def test_of_a_class_that_nobody_else_calls_only_the_methods_read_count(write: Write) -> None:
    write(
        a="from plug.b import Here, There\ndef f():\n    Here().go()\n    There()\n",
        b="import torch\nA = B = C = 1\n"
        "class Base:\n    def step(self): return A\n    def unread(self): return B\n"
        "class Here(Base):\n    size = 1\n    def __init__(self): ...\n    def go(self): return self.step()\n"
        "    def unread(self): ...\n"
        "class There(torch.nn.Module):\n    def forward(self): return C\n",
    )
    assert reached("plug.a:f") == {
        "a:f", "b:A", "b:C", "b:Base", "b:Base.step", "b:Here", "b:Here.__init__", "b:Here.go", "b:There",
    }  # fmt: skip


def test_a_table_counts_with_the_entry_that_is_named(write: Write) -> None:
    write(
        a="from mer.implementations import Implementations\nTABLE = Implementations({'b': 'plug.b:B', 'c': 'plug.c:C'})\n"
        "def f(): return TABLE.load('b')\n",
        b="B = 1\n",
        c="C = 1\n",
    )
    assert reached("plug.a:f") == {"a:f"} and closure_of(["plug.a:f"]).tables == {"plug.a:TABLE"}
    assert reached("plug.a:f", "plug.b:B") == {"a:f", "b:B"}


def test_of_a_task_the_variables_of_the_compute_function_count(write: Write) -> None:
    write(
        a="from plug.b import *\nA = B = C = D = E = 1\n"
        "def task(argument, unread):\n"
        "    rows = A\n"
        "    asked = []\n"
        "    if rows:\n        asked.append(B)\n"
        "    inputs = C\n"
        "    def produce(run):\n        return rows, asked, argument, D\n"
        "    label = E\n"
        "    return run_stage('kind', inputs=inputs, produce=produce, label=label)\n"
        "def other(): return task(1, 2)\n"
        "def run_stage(): ...\n",
        b="",
    )
    root = "plug.a:task.<locals>.produce"
    assert reached(root) == {"a:task.<locals>.produce", "a:A", "a:B", "a:D"}
    assert reached("plug.a:other") == {"a:other"}, "what another stage computed is known by its hash"


def test_a_model_of_an_installed_package_counts_and_its_version_is_recorded(
    write: Write, tmp_path: Path
) -> None:
    info = tmp_path / "tiny_plug-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plug\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[mer.fusion_models]\nplugged = plug.a:Model\n")
    model = "from mer.fusion.model import FusionModel\nfrom plug import b\nclass Model(FusionModel):\n    size = b.SIZE\n"
    write(a=model, b="SIZE = 1\n")
    implementations = fusion_implementations("plugged")
    assert implementations == ("plug.a:Model",)
    assert {"b:SIZE", "mer.fusion.model:FusionModel"} < reached(*implementations)
    assert library_versions(implementations)["tiny-plug"] == "1.5"
    assert "tiny-plug" not in library_versions()
    plain = code_version(reached, implementations=implementations)
    write(a=model, b="SIZE = 2\n")
    assert code_version(reached, implementations=implementations) != plain
    assert "plug" not in sys.modules


def test_what_is_done_on_import_counts(write: Write) -> None:
    write(a="import torch\ntorch.set_flush_denormal(True)\ndef f(): ...\n")
    plain = version_of(("plug.a:f",))
    write(a="import torch\ntorch.set_flush_denormal(False)\ndef f(): ...\n")
    assert version_of(("plug.a:f",)) != plain


def test_roots_of_functions_partials_and_objects() -> None:
    class Called:
        def __call__(self) -> int:
            return 1

    here = __name__
    assert root_of(reached) == f"{here}:reached"
    assert root_of(partial(partial(reached, "a"), "b")) == f"{here}:reached"
    assert root_of(Called()).endswith("<locals>.Called")
    assert code_version(reached) == code_version(partial(reached)) != code_version(root_of)
    assert code_version(reached, implementations=["mer.errors:ConfigError"]) != code_version(reached)
    assert code_version(Called()) != code_version(reached)


def test_no_module_of_the_library_does_anything_on_import() -> None:
    """A module that is imported without being used would count for nothing, whatever it does."""
    modules = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for top in ("mer", "tasks")
        for path in Path(top).rglob("*.py")
    ]
    assert len(modules) > 100
    doing = {name for name in modules if (source := module_source.module_source(name)) and source.effects}
    assert doing == set()


def test_finding_a_version_imports_nothing() -> None:
    before = set(sys.modules)
    assert version_of(("mer.adaptation.finetune:adapt",))
    assert not {name for name in set(sys.modules) - before if name.startswith(("mer.", "torch"))}
