"""A fusion on arrays of your own: fit, predict, cross-validate by speaker, save, load."""

from __future__ import annotations

import tempfile

import numpy as np

import mer

EMOTIONS = np.array(["angry", "happy", "sad"])


def made_arrays(clips: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Features, labels and speakers, as yours would come out of files: replace this function by your own arrays."""
    generator = np.random.default_rng(seed)
    emotion = generator.integers(0, len(EMOTIONS), clips)
    speaker = generator.integers(0, 12, clips)
    # every speaker has a voice and a face of their own, which say nothing of emotion
    voices, faces = generator.normal(0, 1, (12, 16)), generator.normal(0, 1, (12, 8))
    speech = voices[speaker] + np.eye(3, 16)[emotion] * 2 + generator.normal(0, 1, (clips, 16))
    face = faces[speaker] + np.eye(3, 8)[emotion] * 2 + generator.normal(0, 1, (clips, 8))
    face[generator.random(clips) < 0.2] = np.nan  # a fifth of the clips shows no face: a row of NaN says so
    return {"acoustic": speech, "visual": face}, EMOTIONS[emotion], speaker


def main(clips: int = 360, epochs: int = 40) -> None:
    """Made arrays through everything."""
    features, labels, speakers = made_arrays(clips, seed=1)

    # Options are those of a recipe's fusion. The epoch is chosen on speakers that are held out inside `fit`.
    fusion = mer.Fusion("attention_softmax", epochs=epochs, hidden=32, seed=1)
    fusion.fit(features, labels, speakers=speakers)
    held_out = sorted({int(who) for who in speakers[fusion.validation_]})
    print(f"epoch {fusion.best_epoch_} is the best one on speakers {held_out}, who were not trained on")

    # What is that worth on new speakers? Every fold is predicted by a fusion that saw none of its speakers.
    result = mer.cross_validate(fusion, features, labels, speakers, folds=4)
    print(f"\n{result}\n\nrows true, columns predicted ({', '.join(result.classes)}):\n{result.confusion}\n")

    # New clips: the same streams; one that is missing for all of them may be left out.
    new, truth, who = made_arrays(60, seed=2)
    print(f"other speakers\n{mer.score(truth, fusion.predict(new), who)}\n")
    print("with speech alone, accuracy", fusion.score({"acoustic": new["acoustic"]}, truth))
    print("share of the face in the first clips:", fusion.stream_weights(new)["visual"][:4].round(2))

    # A folder of safetensors and JSON; what is loaded answers bit for bit the same.
    with tempfile.TemporaryDirectory() as folder:
        fusion.save(folder)
        loaded = mer.Fusion.load(folder)
    print("saved and loaded, equal:", np.array_equal(loaded.predict_proba(new), fusion.predict_proba(new)))


if __name__ == "__main__":
    main()
