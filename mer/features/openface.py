"""Face crops that OpenFace made, as MERTools keeps them: `<corpus root>/openface_face/<clip>/<clip>.npy`, uint8
(frames, height, width, 3) BGR; older folders hold one bmp or jpg file a frame instead.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mer.clips import Clip
from mer.errors import MediaError, QuarantineReason
from mer.media.faces import FaceCrops
from mer.npy_header import read_npy_header

FOLDER = "openface_face"
PICTURES = frozenset({".bmp", ".jpg", ".jpeg", ".png"})
MAX_SIDE = 4096
"""Largest side of a crop that is read, pixels."""
MAX_PICTURE_BYTES = 64 << 20


def openface_crops(clip: Clip, frames: int | Literal["all"], size: int) -> FaceCrops:
    """Read a clip's crops, at the middles of `frames` equal parts of the recording.

    Args:
        clip: found by its name below its corpus root.
        frames: number of frames; fewer than that repeat. `all`: every frame, once.
        size: side of the square crops, pixels; crops of this size are left as they are.

    Returns:
        uint8 (frames, size, size, 3) RGB, no flag.

    Raises:
        MediaError: `missing_media` without crops, `bad_features` for files that are no such crops,
            `unsafe_name` for a name that leaves the folder.
    """
    root = clip.corpus_root / FOLDER
    folder = root / clip.name
    if folder.parent != root or clip.name in {"", ".", ".."} or "\0" in clip.name:
        raise MediaError(QuarantineReason.UNSAFE_NAME, f"clip name {clip.name!r} is no plain file name")
    stored = folder / f"{clip.name}.npy"
    if stored.is_file():
        array = _open_array(stored)
        pictures = [np.ascontiguousarray(array[index]) for index in _frame_indices(len(array), frames)]
    elif files := _picture_files(folder):
        pictures = [_read_picture(files[index]) for index in _frame_indices(len(files), frames)]
    else:
        raise MediaError(
            QuarantineReason.MISSING_MEDIA,
            f"{clip.name}: expected face crops at {FOLDER}/{clip.name}/{clip.name}.npy or as bmp or jpg files "
            "in that folder, found none",
        )
    return FaceCrops(np.stack([_square(picture, size) for picture in pictures])[..., ::-1].copy(), ())


def _frame_indices(count: int, frames: int | Literal["all"]) -> list[int]:
    if frames == "all":
        return list(range(count))
    return [int(middle) for middle in (np.arange(frames) + 0.5) * count / frames]


def _open_array(path: Path) -> NDArray[Any]:
    """Map the file: only the frames chosen are read. A header that lies about the file's size is refused."""
    try:
        with path.open("rb") as stream:
            header = read_npy_header(stream)
            if header.dtype != np.uint8 or header.fortran:
                raise _bad(path, "uint8 (frames, height, width, 3)", f"{header.dtype} {header.shape}")
            array: NDArray[Any] = np.memmap(
                path, dtype=np.uint8, mode="r", offset=stream.tell(), shape=header.shape
            )
    except (OSError, ValueError, OverflowError) as error:
        raise _bad(path, "an npy file of crops", str(error)) from error
    sound = (
        isinstance(array, np.ndarray)
        and array.dtype == np.uint8
        and array.ndim == 4
        and array.shape[3] == 3
        and len(array) > 0
        and 0 < min(array.shape[1:3]) <= max(array.shape[1:3]) <= MAX_SIDE
    )
    if not sound:
        actual = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise _bad(path, "uint8 (frames, height, width, 3)", actual)
    return array


def _picture_files(folder: Path) -> list[Path]:
    """Frames by name; OpenFace itself writes them one folder deeper, `<clip>_aligned`."""
    for parent in (folder, folder / f"{folder.name}_aligned"):
        if parent.is_dir():
            files = sorted(path for path in parent.iterdir() if path.suffix.lower() in PICTURES)
            if files:
                return files
    return []


def _read_picture(path: Path) -> NDArray[np.uint8]:
    """One picture, uint8 (height, width, 3) BGR. Its header tells its size: a large one is refused before it is decoded."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_PICTURE_BYTES else b""
        with Image.open(BytesIO(raw), formats=("BMP", "JPEG", "PNG")) as header:
            width, height = header.size
        sound = max(width, height) <= MAX_SIDE
        picture = cv2.imdecode(np.frombuffer(raw, dtype=np.uint8), cv2.IMREAD_COLOR) if sound else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, cv2.error) as error:
        raise _bad(path, "a picture", str(error)) from error
    if picture is None:
        actual = f"{width} x {height}" if not sound else "a damaged one"
        raise _bad(path, f"a picture of at most {MAX_SIDE} pixels a side", actual)
    return np.asarray(picture, dtype=np.uint8)


def _square(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if picture.shape[:2] == (size, size):
        return picture
    shrink = cv2.INTER_AREA if max(picture.shape[:2]) > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (size, size), interpolation=shrink), dtype=np.uint8)


def _bad(path: Path, expected: str, actual: str) -> MediaError:
    return MediaError(QuarantineReason.BAD_FEATURES, f"{path.name}: expected {expected}, found {actual}")
