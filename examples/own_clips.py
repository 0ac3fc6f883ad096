"""A folder of clips -> a table -> features of speech and text -> a fusion, scored on speakers that it never heard.

python examples/own_clips.py FOLDER      # media with a labels.csv (name, emotion, speaker, transcript, ...), or a known corpus
python examples/own_clips.py             # a small demo corpus, made on the spot (videos of a drawn talking face)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import mer


def demo_corpus(folder: Path, clips: int) -> Path:
    """Make short videos with speech, six emotions, six speakers; a few clips are unlabelled."""
    from mer.demo import DemoConfig, generate_demo

    return generate_demo(folder / "demo", DemoConfig(clips=clips, speakers=6, test_share=0, broken=1))


def main(corpus: Path, cache: Path | None = None, epochs: int = 40) -> None:
    """From media to scores.

    Args:
        corpus: folder of clips.
        cache: folder of converted weights.
        epochs: of the fusion.
    """
    clips = mer.read_clips(corpus, emotions="mer")
    print(f"{len(clips)} clips of {clips.speaker.nunique()} speakers ({clips.attrs['format']}):")
    print(clips.groupby("emotion", dropna=False).size().to_string())

    # Which hidden states of the speech encoder carry emotion? One linear head each, on speakers held out.
    speech = "wheel:moonshine-tiny"
    curve = mer.study_layers(speech, clips.emotion, clips.speaker, clips=clips, cache=cache, seeds=1)
    print(f"\n{curve}\n")

    # Vectors of the best state, and of the transcripts. A file that cannot be decoded is missing, and the rest go on.
    features = {
        "acoustic": mer.extract(clips, speech, layers=(curve.best_layer,), pooling="mean_std", cache=cache),
        "lexical": mer.extract(clips, "wheel:all-minilm-l6-v2", cache=cache),
    }
    print(features["acoustic"], features["lexical"], sep="\n")

    # The state was chosen on all speakers, so these scores are a little too good; `mer run` chooses it fold by fold.
    fusion = mer.Fusion("concat", epochs=epochs, batch_size=8)
    print(f"\n{mer.cross_validate(fusion, features, clips.emotion, clips.speaker, folds=3)}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(demo_corpus(Path(temporary), clips=60))
