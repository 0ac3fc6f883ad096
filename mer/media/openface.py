"""Face crops that a toolkit made before: `openface_face/<clip>/` as MERTools lays it out.

Either one file `<clip>.npy`, uint8 (T, 112, 112, 3) in BGR order, or one picture a frame (older folders).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from mer.errors import MediaError, QuarantineReason
from mer.media.frame_plan import middles

OPENFACE_FOLDER = "openface_face"
"""Name of the folder below a corpus' root."""

_PICTURES = frozenset({".bmp", ".jpg", ".jpeg", ".png"})
_MAX_SIDE = 1024


def openface_crops(corpus_root: Path, clip_name: str, count: int, size: int) -> NDArray[np.uint8] | None:
    """Sample crops at the middles of `count` equal parts; None where the corpus has none of this clip.

    Args:
        corpus_root: folder that holds `openface_face`.
        clip_name: name of the clip, a plain file name.
        count: number of crops, >= 1; fewer frames are repeated.
        size: side of the crops, pixels.

    Returns:
        uint8 (count, size, size, 3), RGB.

    Raises:
        MediaError: `unsafe_name` for a name that leaves the folder; `bad_features` for a file that is no such
            array or picture.
    """
    folder = corpus_root / OPENFACE_FOLDER / clip_name
    if folder.parent != corpus_root / OPENFACE_FOLDER or clip_name in {"", ".", ".."} or "\0" in clip_name:
        raise MediaError(QuarantineReason.UNSAFE_NAME, f"clip name {clip_name!r} is no plain file name")
    array = folder / f"{clip_name}.npy"
    if array.is_file():
        frames = _mapped(array)
        chosen: Sequence[NDArray[np.uint8]] = [frames[place] for place in middles(range(len(frames)), count)]
    else:
        pictures = sorted(
            path for path in folder.glob("*") if path.suffix.lower() in _PICTURES and path.is_file()
        )
        if not pictures:
            return None
        chosen = [_picture(pictures[place]) for place in middles(range(len(pictures)), count)]
    return np.stack([_rgb(picture, size) for picture in chosen])


def _mapped(path: Path) -> NDArray[np.uint8]:
    """The array, mapped and not read: a few frames out of hundreds are wanted. Pickles and archives are refused."""
    try:
        with path.open("rb") as stream:
            if npy.read_magic(stream) not in {(1, 0), (2, 0)}:
                raise ValueError("unknown npy version")
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _bad(path, str(error)) from error
    shape = frames.shape
    if frames.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or not all(n > 0 for n in shape):
        raise _bad(path, f"{frames.dtype} {shape}")
    if max(shape[1:3]) > _MAX_SIDE:
        raise _bad(path, f"pictures of {shape[2]} x {shape[1]}")
    return np.asarray(frames)


def _picture(path: Path) -> NDArray[np.uint8]:
    """One picture, (height, width, 3) BGR; its size is known before it is decoded."""
    try:
        with Image.open(path, formats=("BMP", "JPEG", "PNG")) as picture:
            if max(picture.size) > _MAX_SIDE:
                raise _bad(path, f"a picture of {picture.width} x {picture.height}")
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)[..., ::-1]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _bad(path, str(error)) from error


def _rgb(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    how = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(picture[..., ::-1]), (size, size), interpolation=how)
    return np.asarray(resized, dtype=np.uint8)


def _bad(path: Path, found: str) -> MediaError:
    return MediaError(
        QuarantineReason.BAD_FEATURES,
        f"{path.name}: expected face crops, uint8 (T, height, width, 3) or a picture, found {found}",
    )
