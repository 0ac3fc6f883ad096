"""What noise and missing modalities do to a served model: its scores and its calibration, by the path that `mer predict` takes.

    python -m benchmarks.robustness.served --home .mer [--model NAME] [--corpus PATH] [--quick] [--json PATH]

The home must have a model (`mer run` makes one). The clips are those of `--corpus`, which has labels and which the model was not
trained on; without it a demo corpus of another seed is made in the home's place (of a demo model: new clips, the same voices and
faces). Every clip is answered as it is, under babble of four other speakers at 20, 10, 5 and 0 dB, blurred by 2, 4 and 8, and
without each modality: its sound or its pictures are taken out of the file, or no transcript is given.

JSON keys, condition = clean, babble_<dB>, blur_<factor>, no_sound, no_pictures, no_words: `<condition>_waf`, `_accuracy`,
`_ece` (expected calibration error of the probabilities that are answered, 15 bins), `_nll`, `_confidence` (mean), `_flagged`
(share of answers with a flag), `_read` (modalities read, mean number), and but for clean `_loss` (WAF of clean - its own) with
`_loss_low`, `_loss_high` (95 %, paired, speakers resampled); `clips`, `speakers`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures

if TYPE_CHECKING:
    from mer.clips import Clip, CorpusEntry
    from mer.predictions import Prediction
    from mer.predictor.predictor import Predictor

BABBLE, BLUR = (20, 10, 5, 0), (2, 4, 8)
TALKERS = 4
RESAMPLES = 2000
DEMO_SEED = 4711
Changed = Callable[["Clip"], "Clip"]


@dataclass(frozen=True)
class Asked:
    """Labelled clips that are asked about."""

    clips: Sequence[Clip]
    truth: NDArray[np.int64]
    """(N,) class index."""
    speaker: Sequence[str | None]


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--home", type=Path, required=True, help="data folder with a model")
    options.add_argument("--model", default="", help="registered model; left out: the one promoted last")
    options.add_argument("--corpus", type=Path, help="labelled clips that it was not trained on")
    options.add_argument("--clips", type=int, default=0, help="clips of the demo corpus")
    chosen = options.parse_args()
    os.environ["MER_HOME"] = str(chosen.home)
    clips = chosen.clips or (24 if chosen.quick else 120)
    with tempfile.TemporaryDirectory() as folder:
        predictor = served(chosen.model)
        corpus = chosen.corpus or made(Path(folder) / "corpus", clips)
        asked = labelled(corpus, predictor.package.recipe.emotions)
        figures = measured(predictor, asked, Path(folder))
    show(figures)
    write_figures(chosen.json, figures)


def served(name: str) -> Predictor:
    """The version that answers for a model, in memory."""
    from mer.predictor.predictor import Predictor
    from tasks.serve.complete_versions import fetch_package
    from tasks.serve.library import answering_version, model_named
    from tasks.stage.workspace import reading_workspace

    space = reading_workspace()
    version = answering_version(space, model_named(space, name)).row
    return Predictor(fetch_package(space, version), space.weights, version.version)


def made(root: Path, clips: int) -> Path:
    """A demo corpus whose clips are all labelled."""
    from mer.demo import DemoConfig, generate_demo

    config = DemoConfig(clips=clips, unlabelled_share=0.0, test_share=0.0, broken=0, seed=DEMO_SEED)
    return generate_demo(root, config)


def labelled(root: Path, emotions: Sequence[str]) -> Asked:
    """The labelled clips of a folder."""
    from mer.clips import Clip
    from mer.corpora.recognise import recognise

    entries: list[CorpusEntry] = [
        entry for entry in recognise(root, emotions=tuple(emotions)).entries if entry.emotion
    ]
    clips = [
        Clip(
            content=entry.name,
            name=entry.name,
            path=entry.media,
            corpus_root=root,
            transcript=entry.transcript,
        )
        for entry in entries
    ]
    truth = np.array([tuple(emotions).index(entry.emotion or "") for entry in entries], dtype=np.int64)
    return Asked(clips, truth, [entry.speaker for entry in entries])


def conditions(asked: Asked, folder: Path) -> dict[str, Changed]:
    """Name -> what becomes of a clip."""
    return {
        "clean": lambda clip: clip,
        **{f"babble_{decibels}": babble(asked, decibels) for decibels in BABBLE},
        **{f"blur_{factor}": blurred(factor) for factor in BLUR},
        "no_sound": lambda clip: replace(clip, path=without(clip.path, "audio", folder)),
        "no_pictures": lambda clip: replace(clip, path=without(clip.path, "video", folder)),
        "no_words": lambda clip: replace(clip, transcript=None),
    }


def babble(asked: Asked, decibels: float) -> Changed:
    """Other clips spoken at the same time, at this ratio."""
    from mer.clips import NoisyMix
    from mer.quality.corruption import NoiseView, Talker

    pool = [Talker(clip.content, who) for clip, who in zip(asked.clips, asked.speaker, strict=True)]
    paths = {clip.content: clip.path for clip in asked.clips}
    who = {talker.content: talker for talker in pool}
    view = NoiseView(min_snr_db=decibels, max_snr_db=decibels, talkers=TALKERS, blur_factors=(1,))

    def changed(clip: Clip) -> Clip:
        noise = view.draw(who[clip.content], pool)
        return replace(clip, noise=NoisyMix(noise, tuple(paths[content] for content in noise.talkers)))

    return changed


def blurred(factor: int) -> Changed:
    """Pictures scaled down and up again; the sound stays: silent babble adds nothing."""
    from mer.clips import NoisyMix
    from mer.quality.corruption import ClipNoise

    class Blur(ClipNoise):
        def corrupt_waveform(self, waveform: NDArray[np.float32], talkers: object) -> NDArray[np.float32]:
            return waveform

    return lambda clip: replace(clip, noise=NoisyMix(Blur(clip.content, 0.0, (), factor, 0), ()))


def without(path: Path, kind: str, folder: Path) -> Path:
    """A copy of the file without its audio or its video; nothing is encoded again."""
    import av

    copy = folder / kind / path.with_suffix(".mkv").name
    if copy.exists():
        return copy
    copy.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path)) as source, av.open(str(copy), "w") as target:
        streams = {
            stream.index: target.add_stream_from_template(stream)
            for stream in source.streams
            if stream.type in ("audio", "video") and stream.type != kind
        }
        for packet in source.demux():
            if packet.dts is not None and packet.stream.index in streams:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return copy


def measured(predictor: Predictor, asked: Asked, folder: Path) -> dict[str, Figure]:
    """Every condition answered and scored."""
    figures: dict[str, Figure] = {"clips": len(asked.clips), "speakers": len(set(asked.speaker))}
    answers: dict[str, list[Prediction]] = {}
    for name, change in conditions(asked, folder).items():
        answers[name] = predictor.predict([change(clip) for clip in asked.clips])
        figures |= scored(name, answers[name], asked, predictor.package.recipe.emotions)
        print(f"{name}: WAF {figures[f'{name}_waf']:.3f}", flush=True)
    return figures | losses(answers, asked, predictor.package.recipe.emotions)


def scored(
    name: str, answers: Sequence[Prediction], asked: Asked, emotions: Sequence[str]
) -> dict[str, Figure]:
    """Scores of one condition."""
    from mer.evaluation.calibration import expected_calibration_error
    from mer.evaluation.metrics import accuracy, confusion, waf

    shares = np.array([[answer.probabilities[emotion] for emotion in emotions] for answer in answers])
    counts = confusion(asked.truth, shares.argmax(axis=1), len(emotions))
    chosen = np.maximum(shares[np.arange(len(shares)), asked.truth], 1e-12)
    return {
        f"{name}_waf": float(waf(counts)),
        f"{name}_accuracy": float(accuracy(counts)),
        f"{name}_ece": expected_calibration_error(shares, asked.truth),
        f"{name}_nll": float(-np.log(chosen).mean()),
        f"{name}_confidence": float(shares.max(axis=1).mean()),
        f"{name}_flagged": float(np.mean([bool(answer.flags) for answer in answers])),
        f"{name}_read": float(np.mean([len(answer.modalities) for answer in answers])),
    }


def losses(
    answers: Mapping[str, Sequence[Prediction]], asked: Asked, emotions: Sequence[str]
) -> dict[str, Figure]:
    """What each condition costs in WAF, paired by speaker."""
    from mer.evaluation.intervals import (
        Resampled,
        group_confusions,
        resample_weights,
        resampled_scores,
        resampling_groups,
    )
    from mer.evaluation.metrics import waf

    groups = resampling_groups(asked.speaker, len(asked.clips))
    count = int(groups.max()) + 1
    weights = np.concatenate([np.ones((1, count)), resample_weights(count, RESAMPLES, seed=0)])

    def drawn(name: str) -> NDArray[np.float64]:
        predicted = np.array([list(emotions).index(answer.discrete or "") for answer in answers[name]])
        return np.asarray(
            resampled_scores(group_confusions(asked.truth, predicted, groups, len(emotions)), weights, waf)
        )

    def named() -> Iterator[tuple[str, float]]:
        clean = drawn("clean")
        for name in answers:
            if name != "clean":
                lost = clean - drawn(name)
                low, high = Resampled(float(lost[0]), 0.0, 0.0, lost[1:], count).interval(0.95)
                yield from (
                    (f"{name}_loss", float(lost[0])),
                    (f"{name}_loss_low", low),
                    (f"{name}_loss_high", high),
                )

    return dict(named())


def show(figures: Mapping[str, Figure]) -> None:
    """The table."""
    print(f"{figures['clips']} clips of {figures['speakers']} speakers")
    print(
        f"{'condition':<14}{'WAF':>8}{'ECE':>8}{'NLL':>8}{'conf.':>8}{'flagged':>9}{'read':>7}   clean - it (95 %)"
    )
    for name in (key.removesuffix("_waf") for key in figures if key.endswith("_waf")):
        cells = "".join(f"{figures[f'{name}_{key}']:8.3f}" for key in ("waf", "ece", "nll", "confidence"))
        loss = ""
        if name != "clean":
            loss = f"{figures[f'{name}_loss']:+.3f} ({figures[f'{name}_loss_low']:+.3f} to {figures[f'{name}_loss_high']:+.3f})"
        print(f"{name:<14}{cells}{figures[f'{name}_flagged']:9.2f}{figures[f'{name}_read']:7.2f}   {loss}")


if __name__ == "__main__":
    main()
