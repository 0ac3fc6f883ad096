"""Which face detector is meant by a name, and where its file is. Imports neither OpenCV nor numpy.

    haar                     the cascade inside the OpenCV wheel
    yunet:<sha256>           YuNet, by the content of its ONNX file: what recipes, keys and packages of a run have
    openface                 no detector: the crops that OpenFace made are read
    auto                     YuNet where its file is found in the folder of weights (or is named), else haar
    anything else            path of YuNet's ONNX file

`auto` and paths are settled once, where a recipe is loaded: `settled`. A settled name says what decides the crops, wherever the
file lies, so that training, quality and prediction use one detector. Files are looked for below a folder of weights, by content.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mer.errors import ConfigError, WeightsError, WriteFailed
from mer.whole_files import write_whole

if TYPE_CHECKING:
    from mer.media.face_detection import FaceDetector

AUTO, HAAR, OPENFACE = "auto", "haar", "openface"
YUNET_PREFIX = "yunet:"
FILE_PATTERNS = ("face_detection_yunet*.onnx", "yunet*.onnx")
"""Names below the folder of weights under which YuNet's file is found."""
COPIES_FOLDER = "face_detectors"
"""Below the folder of weights: copies of files that lie elsewhere, named by content, for workers and later runs."""

_YUNET = re.compile(r"yunet:(?P<sha256>[0-9a-f]{64})")
_POINTER = b"version https://git-lfs"


def check_detector_name(name: str) -> str:
    """The name itself, if it is of a form in the module's docstring.

    Raises:
        ValueError: empty, or `yunet:` without the 64 hex digits of a content.
    """
    if not name.strip():
        raise ValueError(
            "detector: expected auto, haar, openface or a path, found an empty text; null is none"
        )
    if name.startswith(YUNET_PREFIX) and not _YUNET.fullmatch(name):
        raise ValueError(
            f"detector: expected yunet: and the sha256 of its file (64 hex digits), found {name!r}"
        )
    return name


def settled(name: str, weights: Path, named: str | None = None) -> str:
    """The name of the detector that `name` stands for here: `haar`, `openface` or `yunet:<sha256>`.

    Args:
        name: see the module's docstring.
        weights: folder of weights, where files are looked for. A file that lies elsewhere is copied there.
        named: what `auto` stands for where the user has said it (`haar`, or the path of a file); None: what is found.

    Raises:
        ConfigError: no form of a name.
        WeightsError: the file is absent or no model that OpenCV reads as YuNet.
    """
    if name == AUTO:
        if named is not None and named != AUTO:
            return settled(named, weights)
        files = yunet_files(weights)
        return _named_by_content(files[0], weights) if files else HAAR
    if name in (HAAR, OPENFACE):
        return name
    if name.startswith(YUNET_PREFIX):
        detector_file(name, weights)
        return name
    path = Path(name).expanduser()
    if not path.is_file():
        _refuse(name, path)
    return _named_by_content(path, weights)


def yunet_files(weights: Path) -> list[Path]:
    """YuNet's files in the folder of weights, the preferred first: full precision before int8, then the latest by name."""
    files = {path for pattern in FILE_PATTERNS for path in weights.glob(pattern) if path.is_file()}
    latest = sorted(files, key=lambda path: path.name, reverse=True)
    return sorted(latest, key=lambda path: "int8" in path.name)


def detector_file(name: str, weights: Path) -> Path:
    """Where the file of `yunet:<sha256>` lies below the folder of weights.

    Raises:
        WeightsError: no file there has this content.
    """
    sha256 = content_of(name)
    for path in (weights / COPIES_FOLDER / f"{sha256}.onnx", *yunet_files(weights)):
        if path.is_file() and _sha256(path) == sha256:
            return path
    raise WeightsError(
        f"face detector: expected YuNet's ONNX file with sha256 {sha256[:12]}... in {weights} ({' or '.join(FILE_PATTERNS)}), "
        "found none; place that very file there: another one would cut other crops than the model was trained on"
    )


def open_detector(name: str, weights: Path) -> FaceDetector | None:
    """The detector of a settled name, or of a path; None for `openface`, where none is run.

    Raises:
        ConfigError: `auto`, which is settled where a recipe is loaded.
        WeightsError: the file is absent or damaged.
    """
    from mer.media.face_detection import HaarDetector, YuNetDetector

    if name == OPENFACE:
        return None
    if name == HAAR:
        return HaarDetector()
    if name.startswith(YUNET_PREFIX):
        return YuNetDetector(detector_file(name, weights))
    require_settled(name)
    return YuNetDetector(Path(name).expanduser())


def require_content(path: Path, name: str) -> None:
    """Check that a file is that of `yunet:<sha256>`. Raises WeightsError."""
    if (sha256 := _sha256(path)) != content_of(name):
        raise WeightsError(
            f"face detector: expected {path} with sha256 {content_of(name)[:12]}..., found {sha256[:12]}...: the file was changed"
        )


def detector_identity(name: str) -> str:
    """What decides the detections, for keys: `haar`, `openface`, or `sha256:` and the content of the file.

    Raises:
        ConfigError: `auto`.
        WeightsError: a path without a file.
    """
    if name in (HAAR, OPENFACE):
        return name
    if name.startswith(YUNET_PREFIX):
        return f"sha256:{content_of(name)}"
    require_settled(name)
    try:
        return f"sha256:{_sha256(Path(name).expanduser())}"
    except OSError as error:
        raise WeightsError(f"face detector: expected a file at {name}, found none") from error


def require_settled(name: str) -> None:
    """Refuse `auto`. Raises ConfigError."""
    if name == AUTO:
        raise ConfigError(
            "face detector: expected haar, yunet:<sha256> or a path, found auto; settle it first, by "
            "`mer.media.detector_choice.settled`, so that training and prediction use the same one"
        )


def content_of(name: str) -> str:
    """The sha256 (hex) in `yunet:<sha256>`. Raises ConfigError for another name."""
    named = _YUNET.fullmatch(name)
    if named is None:
        raise ConfigError(f"face detector: expected yunet:<sha256>, found {name!r}")
    return named["sha256"]


def short_name(name: str | None) -> str:
    """For tables and names of methods: `haar`, `yunet:` and 8 hex digits, `none`."""
    if name is None or name == OPENFACE:
        return "none"
    return name[: len(YUNET_PREFIX) + 8] if name.startswith(YUNET_PREFIX) else name


def _named_by_content(path: Path, weights: Path) -> str:
    """`yunet:<sha256>` of a file; one that lies elsewhere is tried and copied into the folder of weights, once."""
    from mer.media.face_detection import try_yunet

    data = path.read_bytes()
    name = YUNET_PREFIX + hashlib.sha256(data).hexdigest()
    if data.startswith(_POINTER):
        raise WeightsError(
            f"face detector: expected YuNet's ONNX file at {path}, found a Git LFS pointer of {len(data)} bytes; fetch the file "
            "it stands for"
        )
    copy = weights / COPIES_FOLDER / f"{content_of(name)}.onnx"
    if copy.is_file():
        return name
    try_yunet(path)
    try:
        write_whole(copy, data)
    except WriteFailed:
        if path not in yunet_files(weights):  # a shared folder of weights may be read-only
            raise
    return name


def _refuse(name: str, path: Path) -> None:
    if path.suffix or len(path.parts) > 1:
        raise WeightsError(f"face detector: expected YuNet's ONNX file at {name}, found none")
    near = difflib.get_close_matches(name, (AUTO, HAAR, OPENFACE), n=1)
    nearest = f" (nearest: {near[0]})" if near else ""
    raise ConfigError(
        f"face detector: expected auto, haar, openface, or the path of YuNet's ONNX file, found {name!r}{nearest}"
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
