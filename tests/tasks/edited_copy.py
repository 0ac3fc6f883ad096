"""Code versions of every stage in a copy of the project, as it is and after each of some edits.

    python edited_copy.py FOLDER < edits.json

Runs in the copy's folder with the copy on PYTHONPATH. `edits.json`: [[file, old text, new text], ...]; out comes
{"stages": {stage: version}, "edited": [{stage: version}, ...], "unnamed": {stage: [table, ...]}}. FOLDER is for weights.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from mer.encoders import ResolvedWeights
from mer.encoders.families import encoder_implementations, tokenizer_implementations
from mer.encoders.weights import resolve_seeded, resolve_weights
from mer.features.layered import layer_implementations
from mer.features.readers import DECODING, reader_implementations
from mer.features.spec import FeatureSpec
from mer.fusion.registry import fusion_implementations
from mer.predictor.package import ModelPackage
from mer.systems.kinds import kind_implementations
from tasks.serve.package_code import package_implementations
from tasks.stage import module_source
from tasks.stage.code_version import closure_of, version_of

PACKAGE = {
    "recipe": {
        "name": "served",
        "acoustic": {"features": {"modality": "acoustic", "source": "hubert"}, "adaptation": {}},
        "visual": {
            "features": {"modality": "visual", "source": "crops:"},
            "alignment": {},
            "encoder": "seed:clip-tiny",
        },
        "lexical": {"features": {"modality": "lexical", "source": "bert"}},
        "fusion": {"model": "concat"},
    },
    "streams": {
        "acoustic": {"block": [1, 2], "adapter": "streams/acoustic/adapter"},
        "visual": {"alignment": "streams/visual/alignment"},
    },
    "system": "fused",
}
"""The version that drift reads clips with: of an adapted, an aligned and a frozen stream."""


def stages() -> Iterator[tuple[str, list[str]]]:
    """(stage, roots) of every call of `run_stage`, and of `code_version`, in the tasks' text."""
    for path in sorted(Path("tasks").rglob("*.py")):
        if path.parts[1] != "stage":
            module = ".".join(path.with_suffix("").parts)
            yield from _calls(ast.parse(path.read_text()), module, [])


def _calls(node: ast.AST, module: str, around: list[str]) -> Iterator[tuple[str, list[str]]]:
    for child in ast.iter_child_nodes(node):
        inside = [*around, child.name] if isinstance(child, ast.FunctionDef) else around
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
            if child.func.id == "run_stage":
                (produce,) = (one.value for one in child.keywords if one.arg == "produce")
                assert isinstance(produce, ast.Name)
                yield (
                    ast.literal_eval(child.args[0]),
                    [f"{module}:{'.<locals>.'.join([*around, produce.id])}"],
                )
            elif child.func.id == "code_version":
                yield around[-1], [f"{module}:{one.id}" for one in child.args if isinstance(one, ast.Name)]
        yield from _calls(child, module, inside)


def named(folder: Path) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Stage -> what is added to its name -> implementations that a configuration names."""
    weights = {kind: _weights(folder, kind) for kind in ("hubert", "bert")}
    speech = FeatureSpec(modality="acoustic", source="hubert")
    layers = layer_implementations(speech, weights["hubert"])
    fusion = (*kind_implementations("neural"), *fusion_implementations("concat"))
    faces = encoder_implementations("visual", resolve_seeded("seed:clip-tiny"))
    crops = FeatureSpec(modality="visual", source="crops:")
    package = ModelPackage.model_validate(PACKAGE)
    served = (
        *package_implementations(
            package, lambda source: weights.get(source) or resolve_weights(source, folder)
        ),
        DECODING,
    )
    return {
        "fusion": {"": fusion},
        "figures": {"": fusion},
        "posteriors": {"": fusion},
        "open_search": {"": fusion},
        "adapter": {"": layers},
        "embed_adapted": {"": layers},
        "alignment": {"": faces},
        "alignment-study": {"": faces},
        "embed_aligned": {"": faces},
        "drift-reference": {"": served},
        "drift-batch": {"": served},
        "text-coverage": {"": tokenizer_implementations(weights["bert"])},
        "extraction_code": {
            " speech": reader_implementations(speech, weights["hubert"]),
            " text": reader_implementations(FeatureSpec(modality="lexical", source="bert"), weights["bert"]),
            " crops": reader_implementations(crops, ResolvedWeights("crops:", None, "crops:")),
        },
    }


def _weights(folder: Path, kind: str) -> ResolvedWeights:
    (folder / kind).mkdir(parents=True, exist_ok=True)
    (folder / kind / "config.json").write_text(json.dumps({"model_type": kind}))
    return ResolvedWeights(kind, folder / kind, kind)


def main() -> None:
    assert Path(module_source.__file__ or "").is_relative_to(Path.cwd()), (
        "expected the copy, found the project"
    )
    chosen = named(Path(sys.argv[1]))
    roots = {
        f"{stage}{more}": tuple(sorted({*functions, *implementations}))
        for stage, functions in stages()
        for more, implementations in chosen.get(stage, {"": ()}).items()
    }

    def versions() -> dict[str, str]:
        version_of.cache_clear()
        return {stage: version_of(own) for stage, own in roots.items()}

    plain = versions()
    edited = []
    for file, old, new in json.load(sys.stdin):
        path, module = Path(file), ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}: what the test edits has moved"
        path.write_text(text.replace(old, new, 1))
        kept = module_source._parsed.pop(module, None)
        edited.append(versions())
        path.write_text(text)
        module_source._parsed[module] = kept
    assert versions() == plain
    entries = {"mer.encoders.weights:CONVERTERS"}
    unnamed = {
        stage: sorted(table for table in closure_of(own).tables - entries if not _names_one(table, own))
        for stage, own in roots.items()
    }
    found = {
        "stages": plain,
        "edited": edited,
        "unnamed": {name: own for name, own in unnamed.items() if own},
    }
    sys.stdout.write(json.dumps(found))


def _names_one(table: str, roots: tuple[str, ...]) -> bool:
    from importlib import import_module

    module, _, name = table.partition(":")
    return bool(set(getattr(import_module(module), name).values()) & set(roots))


if __name__ == "__main__":
    main()
