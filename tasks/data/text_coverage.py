"""How much of a corpus' texts each text encoder can read, found out before anything is extracted, once for a set of texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prefect import task

from mer.features.spec import FeatureSpec
from mer.recipes import Recipe
from tasks.stage.run import Produced, StageRun, digest, run_stage
from tasks.stage.workspace import workspace

if TYPE_CHECKING:
    from mer.features.text_coverage import TextCoverage
    from mer.recipes.text_encoders import TextEncoder

COVERAGE = "coverage.json"


@task(name="cover texts")
def cover_texts(
    corpus: str, specs: Mapping[str, FeatureSpec], clip_ids: Sequence[str], parent_run: str | None = None
) -> dict[str, TextCoverage]:
    """What the encoders of feature sets that read texts know of these clips' texts, by name of the set."""
    return {
        name: _coverage(corpus, name, spec, clip_ids, parent_run)
        for name, spec in specs.items()
        if spec.reads_text
    }


def _coverage(
    corpus: str, name: str, spec: FeatureSpec, clip_ids: Sequence[str], parent_run: str | None
) -> TextCoverage:
    from mer.encoders.families import tokenizer_implementations
    from mer.encoders.weights import resolve_weights
    from mer.features.text_coverage import TextCoverage

    space = workspace()
    resolved = resolve_weights(spec.source, space.weights)
    rows = space.catalogue.clips(corpus, spec.recogniser, clip_ids)
    texts = sorted(row.transcript for row in rows if row.transcript)

    def produce(run: StageRun) -> Produced:
        from mer.encoders.tokens import load_tokenizer
        from mer.features.text_coverage import text_coverage

        found = text_coverage(texts, load_tokenizer(resolved))
        facts = {
            "texts": found.texts,
            "unknown_share": found.unknown_share,
            "indistinguishable": found.indistinguishable,
            "split_share": found.split_share,
        }
        return Produced(
            files={COVERAGE: json.dumps(facts).encode()},
            meta=facts,
            metrics={f"texts.{fact}": float(value) for fact, value in facts.items()},
        )

    result = run_stage(
        "text-coverage",
        inputs={"texts": digest(texts), "tokenizer": resolved.identity},
        config={},
        produce=produce,
        implementations=tokenizer_implementations(resolved),
        label=f"texts, {name}",
        parent_run=parent_run,
    )
    return TextCoverage(
        int(result.meta["texts"]),
        float(result.meta["unknown_share"]),
        int(result.meta["indistinguishable"]),
        float(result.meta["split_share"]),
    )


def text_encoders(recipe: Recipe, covered: Mapping[str, TextCoverage]) -> dict[str, TextEncoder]:
    """The encoder of every stream of texts, by what the encoders that the recipe names know of them."""
    from mer.encoders.weights import resolve_weights
    from mer.recipes.text_encoders import text_encoder

    weights = workspace().weights
    return {
        name: text_encoder(recipe, name, coverage, lambda source: resolve_weights(source, weights))
        for name, coverage in covered.items()
    }
