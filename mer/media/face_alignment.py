"""Five-point alignment: the similarity transform that puts a face's landmarks where a template has them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mer.media.face_detection import Landmarks

TEMPLATE_SIDE = 112
TEMPLATE: Landmarks = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)
"""The 112 x 112 template of SphereFace and ArcFace (Deng et al., CVPR 2019, code of InsightFace), pixels."""


def template_for(size: int, margin: float) -> Landmarks:
    """Places of the five landmarks in a crop of `size` pixels with `margin` (share of the template's side) around
    the template: (5, 2).
    """
    relative = (TEMPLATE / TEMPLATE_SIDE - 0.5) / (1 + 2 * margin) + 0.5
    return np.asarray(relative * size, dtype=np.float32)


def similarity_transform(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rotation, uniform scale and shift that bring `source` closest to `target` (least squares), no reflection.

    Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    IEEE PAMI 13(4), 1991, eq. 40-43.

    Args:
        source: (points, 2), not all equal.
        target: (points, 2).

    Returns:
        (2, 3): target = matrix[:, :2] @ source + matrix[:, 2].

    Raises:
        ValueError: all source points are equal.
    """
    from_centre, to_centre = source.mean(axis=0), target.mean(axis=0)
    centred = source.astype(np.float64) - from_centre
    spread = np.square(centred).sum() / len(source)
    if spread <= 0:
        raise ValueError("expected at least two different points, found all equal")
    left, values, right = np.linalg.svd((target - to_centre).T @ centred / len(source))
    # a negative determinant would be a reflection: the smaller singular value is turned
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0])
    linear = (values * signs).sum() / spread * (left * signs) @ right
    return np.column_stack([linear, to_centre - linear @ from_centre])


def aligned_crop(
    frame: NDArray[np.uint8], landmarks: Landmarks, size: int, margin: float
) -> NDArray[np.uint8]:
    """Warp a face to the template.

    Args:
        frame: uint8 (height, width, 3).
        landmarks: (5, 2), see `mer.media.face_detection.Landmarks`.
        size: side of the crop, pixels.
        margin: around the template on each side, share of its side.

    Returns:
        uint8 (size, size, 3); beyond the picture its border is repeated.
    """
    matrix = similarity_transform(landmarks, template_for(size, margin))
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 1:  # a bilinear warp to a smaller size would alias: average over pixels first
        height, width = frame.shape[:2]
        small = max(1, round(width * scale)), max(1, round(height * scale))
        frame = np.asarray(cv2.resize(frame, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        ratio = np.array([width / small[0], height / small[1]])
        # pixel centres: x = (x' + .5) * ratio - .5
        matrix = np.column_stack([matrix[:, :2] * ratio, matrix[:, 2] + matrix[:, :2] @ (ratio / 2 - 0.5)])
    warped = cv2.warpAffine(
        frame, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, dtype=np.uint8)
