"""The audio-guided transformer against the challenge's attention fusion: all modalities, one missing, and part by part.

    python -m benchmarks.fusion.audio_guided [--quick] [--clips 300] [--demo-seed 61] [--seeds 3] [--ablation [PART ...]]
                                             [--level frames] [--folder .mer/agt] [--json PATH]

Demo corpus, speaker-independent folds, scores out of fold. One vector a stream (frames were worse on validation speakers), or
with `--level frames` the audio-guided transformer reads frames and the clip's statistics; the attention fusions always read
vectors. With one vector a stream there is nothing to choose among: attention to one key is 1 whoever asks, so the part
`guidance` changes nothing there and is taken apart on frames only.
`attention` is trained without modality dropout, `attention_dropped` and `audio_guided` with the rate that is best on each
fold's validation speakers (mean weighted F1 over all modalities, without video and without text, over seeds). All other
options are equal.

JSON keys: `<system>_<condition>` weighted F1, condition = all, no_visual, no_lexical, no_acoustic;
`drop_<system>_<condition>`. Differences with `_low`, `_high` (95 %, paired, speakers resampled, mean over seeds): `all_gain`
and `all_gain_dropped` (audio_guided minus attention, minus attention_dropped), `halved_no_visual` and `halved_no_lexical`
(half of attention's drop minus audio_guided's: above 0 is hoped for). With `--ablation` also systems `without_<part>`, and what
each part is worth: `worth_<part>_<condition>` (audio_guided minus the system without the part) with its interval;
`<system>_seconds` are seconds a model; `clips`, `speakers`, `seeds`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.command import Figure, parser, write_figures
from benchmarks.fusion.audio_guided_corpus import FOLDS, Corpus, load_corpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer.fusion.config import FusionConfig

CONDITIONS: Mapping[str, tuple[str, ...]] = {
    "all": (), "no_visual": ("visual",), "no_lexical": ("lexical",), "no_acoustic": ("acoustic",),
}  # fmt: skip
RATES = (0.3, 0.5)
PARTS = ("intra_channel", "inter_channel", "guidance", "residual", "adaptive_gate")
RESAMPLES = 2000

Level = Literal["utterance", "frames"]

Predicted = dict[str, "NDArray[np.int64]"]
"""Condition -> (clips,) classes."""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--clips", type=int, default=0, help="clips of the demo corpus")
    options.add_argument("--demo-seed", type=int, default=61, help="seed of the demo corpus")
    options.add_argument("--seeds", type=int, default=0, help="seeds of every model")
    options.add_argument(
        "--ablation",
        nargs="*",
        choices=PARTS,
        help="also without these parts, each by itself; none named: all",
    )
    options.add_argument(
        "--level", choices=["utterance", "frames"], default="utterance", help="what the transformer reads"
    )
    options.add_argument("--folder", type=Path, default=Path(".mer/agt"), help="where the corpus is made")
    chosen = options.parse_args()
    clips, seeds = chosen.clips or (90 if chosen.quick else 300), chosen.seeds or (1 if chosen.quick else 3)
    import torch

    torch.set_num_threads(1)
    corpus = load_corpus(chosen.folder, clips, chosen.demo_seed)
    epochs = 15 if chosen.quick else 60
    parts = () if chosen.ablation is None else tuple(chosen.ablation) or parts_of(chosen.level)
    figures = measured(corpus, range(1, seeds + 1), parts, epochs, chosen.level)
    for name, value in figures.items():
        print(f"{name:<34} {value:.4f}" if isinstance(value, float) else f"{name:<34} {value}")
    write_figures(chosen.json, figures)


def measured(
    corpus: Corpus, seeds: Sequence[int], parts: Sequence[str], epochs: int, level: Level
) -> dict[str, Figure]:
    """Train every system, and the transformer without each of `parts`, and score them; `level` is the transformer's."""
    from mer.fusion.config import AudioGuidedConfig, FusionConfig

    base = FusionConfig(epochs=epochs, patience=15, modality_dropout=0.0)
    frames = level == "frames"
    guided = base.model_copy(update={"model": "audio_guided", "level": level, "frame_statistics": frames})
    attention = base.model_copy(update={"model": "attention"})
    systems = {
        "attention": [attention],
        "attention_dropped": at_rates(attention),
        "audio_guided": at_rates(guided),
    }
    for part in parts:
        without = AudioGuidedConfig.model_validate({part: False})
        systems[f"without_{part}"] = at_rates(guided.model_copy(update={"audio_guided": without}))
    answers: dict[str, list[Predicted]] = {}
    figures: dict[str, Figure] = {
        "clips": len(corpus.examples), "speakers": len(set(corpus.examples.speaker)), "seeds": len(seeds),
    }  # fmt: skip
    for name, candidates in systems.items():
        started = time.perf_counter()
        answers[name] = out_of_fold(corpus, candidates, seeds)
        models = FOLDS * len(candidates) * len(seeds)
        figures[f"{name}_seconds"] = (time.perf_counter() - started) / models
        print(f"{name}: {models} models, {figures[f'{name}_seconds']:.1f} seconds each", flush=True)
    return figures | compared(corpus, answers)


def parts_of(level: Level) -> tuple[str, ...]:
    """The parts that can change an answer."""
    return PARTS if level == "frames" else tuple(part for part in PARTS if part != "guidance")


def at_rates(config: FusionConfig) -> list[FusionConfig]:
    """The rates of modality dropout to choose from."""
    return [config.model_copy(update={"modality_dropout": rate}) for rate in RATES]


def out_of_fold(corpus: Corpus, candidates: Sequence[FusionConfig], seeds: Sequence[int]) -> list[Predicted]:
    """Per seed the classes of every clip by the model that did not see its speaker, of the candidate best on validation."""
    import numpy as np

    from mer.training.folds import inner_validation

    own = corpus.examples
    found = [{name: np.zeros(len(own), dtype=np.int64) for name in CONDITIONS} for _ in seeds]
    for fold in range(FOLDS):
        test = own.fold == fold
        held = inner_validation(own.speaker, own.clip_ids, own.emotion, ~test, 0.15, 1, own.content)
        each = [trained(corpus, ~test & ~held, held, config, seeds) for config in candidates]
        scores = [np.mean([validation_score(corpus, held, one) for one in models]) for models in each]
        for seed, chosen in enumerate(each[int(np.argmax(scores))]):
            for name in CONDITIONS:
                found[seed][name][test] = chosen[name][test]
    return found


def trained(
    corpus: Corpus,
    train: NDArray[np.bool_],
    held: NDArray[np.bool_],
    config: FusionConfig,
    seeds: Sequence[int],
) -> list[Predicted]:
    """Classes of all clips under every condition, one model a seed; no label of a test clip is read."""
    from dataclasses import replace

    import numpy as np

    from mer.emotions import MER_EMOTIONS
    from mer.fusion.fit import fit_fusion, predict_fusion

    given, seen = corpus.tables(config.level), train | held
    shown = replace(
        corpus.examples,
        emotion=np.where(seen, corpus.examples.emotion, -1),
        valence=np.where(seen, corpus.examples.valence, np.nan).astype(np.float32),
    )
    answers: list[Predicted] = []
    for seed in seeds:
        fitted = fit_fusion(given, shown, train, held, MER_EMOTIONS, config.model_copy(update={"seed": seed}))
        left = {
            condition: {name: table for name, table in given.items() if name not in missing}
            for condition, missing in CONDITIONS.items()
        }
        answers.append({name: predict_fusion(fitted, streams).predicted for name, streams in left.items()})
    return answers


def validation_score(corpus: Corpus, held: NDArray[np.bool_], predicted: Predicted) -> float:
    """Mean weighted F1 with all modalities, without video and without text."""
    import numpy as np

    from mer.emotions import MER_EMOTIONS
    from mer.evaluation.metrics import confusion, waf

    truth = corpus.examples.emotion[held]
    names = ("all", "no_visual", "no_lexical")
    return float(np.mean([waf(confusion(truth, predicted[name][held], len(MER_EMOTIONS))) for name in names]))


def compared(corpus: Corpus, answers: Mapping[str, Sequence[Predicted]]) -> dict[str, Figure]:
    """Scores, drops and the differences that are claimed."""
    import numpy as np

    from mer.emotions import MER_EMOTIONS
    from mer.evaluation.intervals import (
        Resampled,
        group_confusions,
        resample_weights,
        resampled_scores,
        resampling_groups,
    )
    from mer.evaluation.metrics import waf

    own, classes = corpus.examples, len(MER_EMOTIONS)
    groups = resampling_groups(own.speaker, len(own))
    count = int(groups.max()) + 1
    # the first row draws every speaker once: the score itself
    weights = np.concatenate([np.ones((1, count)), resample_weights(count, RESAMPLES, seed=0)])

    def drawn(system: str, condition: str) -> NDArray[np.float64]:
        each = [group_confusions(own.emotion, one[condition], groups, classes) for one in answers[system]]
        return np.asarray(np.mean([resampled_scores(counts, weights, waf) for counts in each], axis=0))

    scores = {(system, name): drawn(system, name) for system in answers for name in CONDITIONS}
    figures: dict[str, Figure] = {}
    for (system, name), values in scores.items():
        figures[f"{system}_{name}"] = float(values[0])
        if name != "all":
            figures[f"drop_{system}_{name}"] = float(scores[system, "all"][0] - values[0])
    drops = {key: scores[key[0], "all"] - values for key, values in scores.items()}
    claims = {
        "all_gain": scores["audio_guided", "all"] - scores["attention", "all"],
        "all_gain_dropped": scores["audio_guided", "all"] - scores["attention_dropped", "all"],
        **{
            f"halved_{name}": drops["attention", name] / 2 - drops["audio_guided", name]
            for name in ("no_visual", "no_lexical")
        },
        **{
            f"worth_{part}_{name}": scores["audio_guided", name] - scores[f"without_{part}", name]
            for part in PARTS
            if f"without_{part}" in answers
            for name in CONDITIONS
        },
    }
    for name, values in claims.items():
        low, high = Resampled(float(values[0]), 0.0, 0.0, values[1:], count).interval(0.95)
        figures |= {name: float(values[0]), f"{name}_low": low, f"{name}_high": high}
    return figures


if __name__ == "__main__":
    main()
