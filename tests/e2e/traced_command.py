"""The command line, with every function of the project that a stage's compute function really runs held against its closure.

    python traced_command.py REPORT run --recipe ...

REPORT gets one JSON line for each stage: its roots, how many functions ran, and those that the closure does not have.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import pkgutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
_writing = threading.Lock()


def _import_everything() -> None:
    """So that nothing is imported, and run for that alone, while a stage is watched."""
    for name in ("mer", "tasks"):
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(found.name)


@contextmanager
def _watched(seen: set[tuple[str, str]]) -> Iterator[None]:
    """Collect (file, qualified name) of every Python function that starts in this thread and in those it starts."""

    def on_event(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            seen.add((frame.f_code.co_filename, frame.f_code.co_qualname))

    threading.setprofile(on_event)
    sys.setprofile(on_event)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def _missing(seen: set[tuple[str, str]], roots: tuple[str, ...]) -> tuple[int, list[str]]:
    """How many functions of the project ran, and those that the closure of these roots lacks."""
    from tasks.stage.code_version import closure_of

    closure = closure_of(roots)
    labels = {label for label, _ in closure.definitions}
    ran, missing = 0, []
    for file, name in sorted(seen):
        path = Path(file)
        if not path.is_relative_to(ROOT) or name.startswith("<"):
            continue
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] not in ("mer", "tasks") or parts[:2] == ("tasks", "stage"):
            continue
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        outer = name.split(".<locals>")[0]
        parted = closure._classes.get(f"{module}:{outer.split('.')[0]}")
        whole = parted is None or not parted.made
        ran += 1
        known = f"{module}:{outer}" in labels or (whole and f"{module}:{outer.split('.')[0]}" in labels)
        if not known and not any(label.startswith(f"{module}:{outer}.<locals>") for label in labels):
            missing.append(f"{module}:{name}")
    return ran, missing


def traced(
    report: Path, compute: Callable[..., Any], roots_of: Callable[..., tuple[str, ...]]
) -> Callable[..., Any]:
    """The compute function, watched; `roots_of` gets its arguments."""

    @functools.wraps(compute)
    def watched(*arguments: Any, **options: Any) -> Any:
        seen: set[tuple[str, str]] = set()
        with _watched(seen):
            result = compute(*arguments, **options)
        _note(report, seen, roots_of(*arguments, **options))
        return result

    return watched


def _note(report: Path, seen: set[tuple[str, str]], roots: tuple[str, ...]) -> None:
    ran, missing = _missing(seen, roots)
    with _writing, report.open("a") as file:
        file.write(json.dumps({"roots": roots, "ran": ran, "missing": missing}) + "\n")


def shards_traced(
    report: Path, extracted: Callable[..., Any], roots_of: Callable[..., tuple[str, ...]]
) -> Callable[..., Any]:
    """The function that gives what computes the shards of a span, which is watched at each of them."""

    @functools.wraps(extracted)
    def watched(*arguments: Any) -> Any:
        roots, seen = roots_of(*arguments), set[tuple[str, str]]()
        with _watched(seen):
            compute = extracted(*arguments)

        def of_shard(number: int) -> Any:
            with _watched(seen):
                columns = compute(number)
            _note(report, seen, roots)
            return columns

        return of_shard

    return watched


def main() -> None:
    report = Path(sys.argv[1])
    # Prefect reads it when it is imported, which the command line itself does only after it has set it
    os.environ["PREFECT_API_URL"] = os.environ["MER_PREFECT_API_URL"]
    os.environ["PREFECT_API_AUTH_STRING"] = os.environ["MER_PREFECT_AUTH_STRING"]
    _import_everything()
    from mer.encoders.weights import resolve_weights
    from mer.features.readers import reader_implementations
    from tasks.data import features
    from tasks.learn import adaptation, alignment
    from tasks.stage import run
    from tasks.stage.code_version import root_of

    run_stage = run.run_stage

    def run_traced(
        kind: str, *, produce: Callable[..., Any], implementations: Any = (), **options: Any
    ) -> Any:
        roots = (root_of(produce), *implementations)
        watched = traced(report, produce, lambda *_: roots)
        return run_stage(kind, produce=watched, implementations=implementations, **options)

    for name, module in list(sys.modules.items()):
        if name.startswith("tasks.") and getattr(module, "run_stage", None) is run_stage:
            module.run_stage = run_traced  # type: ignore[attr-defined]

    def of_extraction(space: Any, _corpus: str, _shards: Any, specs: Any, _context: Any) -> tuple[str, ...]:
        resolved = [resolve_weights(spec.source, space.weights) for spec in specs]
        readers = [reader_implementations(*pair) for pair in zip(specs, resolved, strict=True)]
        return (root_of(features._extracted), *(one for own in readers for one in own))

    def of_adapted(space: Any, block: Any, *_: Any) -> tuple[str, ...]:
        return (*map(root_of, (adaptation.open_adapter, adaptation._embed)), *adapted_layers[-1])

    def layers_traced(*arguments: Any) -> tuple[str, ...]:
        adapted_layers.append(encoder_layers(*arguments))
        return adapted_layers[-1]

    adapted_layers: list[tuple[str, ...]] = []
    encoder_layers = adaptation.encoder_layers
    adaptation.encoder_layers = layers_traced
    features._extracted = shards_traced(report, features._extracted, of_extraction)
    adaptation._embed = traced(report, adaptation._embed, of_adapted)
    aligned = tuple(map(root_of, (alignment.open_alignment, alignment._embed)))
    alignment._embed = traced(
        report, alignment._embed, lambda *_: (*aligned, "mer.encoders.visual:load_seeded")
    )
    from flows.cli import main as command

    sys.argv = ["mer", *sys.argv[2:]]
    command()


if __name__ == "__main__":
    main()
