"""What does a face detector give, and what does it cost: YuNet, Haar and none, on frames with two people and subtitles.

    python -m benchmarks.face_detection --yunet ../shared/models/face_detection_yunet_2026may.onnx
    python -m benchmarks.face_detection --quick --pictures FOLDER

Clips are composed: real photographs of faces (FER2013, 48 x 48 pixels, enlarged), blended into frames of 640 x 360 with a second,
smaller person in half of them and subtitles in half of them; the place of the first person is known. A composed frame is no film:
the figures show the order of the detectors and what a crop shows, not how many faces of a real film are found. With `--pictures`
the detectors are also counted over a folder of your own pictures and clips (8 frames of each), whose faces nobody has marked.

Figures of each detector (`haar`, `yunet`, `none`), prefixed by its name:

- `frames_with_a_face`: share of frames in which any face was detected; `frames_with_the_face`: the first person's (overlap of the
  boxes over their union of at least .3);
- `false_alarms`: detections that are nobody's face, a frame;
- `face_pixels`: side of the first person's face in the crops of 64 pixels that recipe `clips` cuts, median over the clips;
  `clips_missed`: share of clips whose crops show less than half of that face;
- `milliseconds`: processor time a frame of 640 x 360;
- `faces_in_pictures`, `pictures_with_a_face`: of the frames of `--pictures`, beside `pictures`: how many frames these are.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.command import parser, write_figures
from mer.errors import MediaError
from mer.media.face_detection import Box, DetectedFace, FaceDetector, HaarDetector, YuNetDetector
from mer.media.face_tracks import overlap
from mer.media.faces import face_crops
from mer.media.frames import sample_frames

HEIGHT, WIDTH = 360, 640
CROP, FRAMES = 64, 6
Pictures = NDArray[np.uint8]
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class ComposedClip:
    """Frames whose first person's face is known."""

    frames: Pictures
    """uint8 (time, height, width, 3)."""
    faces: list[list[Box]]
    """Of each frame: the first person's box, then the other one's."""


class Replayed:
    """A detector that gives what was detected before, frame by frame."""

    def __init__(self, detections: Sequence[list[DetectedFace]]) -> None:
        self._detections = iter(detections)

    def detect(self, picture: Pictures) -> list[DetectedFace]:
        """Return the faces of the next frame."""
        return next(self._detections)


def compose(faces: Pictures, number: int) -> ComposedClip:
    """One clip: a face that moves a little before a blurred backdrop, by number another person and subtitles.

    Args:
        faces: uint8 (N, 48, 48), grey.
        number: of the clip: decides all that is drawn.
    """
    draw = np.random.default_rng(number)
    first, second = draw.choice(len(faces), 2, replace=False)
    side = int(draw.integers(70, 180))
    place = np.array([draw.uniform(0.1, 0.9) * (WIDTH - side), draw.uniform(0.02, 0.5) * (HEIGHT - side)])
    other = int(side * draw.uniform(0.5, 0.9))
    away = np.array([(place[0] + WIDTH / 2) % (WIDTH - other), draw.uniform(0, HEIGHT - other)])
    noise = draw.integers(70, 150, (9, 16, 3), dtype=np.uint8)
    backdrop = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    frames, boxes = [], []
    for _ in range(FRAMES):
        frame = np.asarray(backdrop, dtype=np.uint8).copy()
        shown = [_pasted(frame, faces[first], place + draw.normal(0, 4, 2), side)]
        if number % 2:
            shown.append(_pasted(frame, faces[second], away + draw.normal(0, 4, 2), other))
        if number % 4 >= 2:
            for line in range(2):
                where = (60, HEIGHT - 45 + 28 * line)
                cv2.putText(frame, "and this is what she said to him", where, 0, 0.9, (255, 255, 255), 2)
        frames.append(np.clip(frame + draw.normal(0, 4, frame.shape), 0, 255).astype(np.uint8))
        boxes.append(shown)
    return ComposedClip(np.stack(frames), boxes)


def _pasted(frame: Pictures, face: Pictures, place: NDArray[np.floating], side: int) -> Box:
    """Blend a face into the frame under a soft ellipse, with shoulders below; returns its box."""
    x = int(np.clip(place[0], 0, WIDTH - side))
    y = int(np.clip(place[1], 0, HEIGHT - side))
    cv2.ellipse(
        frame, (x + side // 2, y + int(1.7 * side)), (side, int(0.8 * side)), 0, 180, 360, (60, 50, 45), -1
    )
    large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)[..., None]
    mask = np.zeros((side, side), np.float32)
    cv2.ellipse(mask, (side // 2, side // 2), (int(0.46 * side), int(0.5 * side)), 0, 0, 360, 1, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), side / 40)[..., None]
    below = frame[y : y + side, x : x + side].astype(np.float32)
    frame[y : y + side, x : x + side] = (soft * large * (0.95, 0.85, 0.8) + (1 - soft) * below).astype(
        np.uint8
    )
    return float(x), float(y), float(side), float(side)


def measured(name: str, detector: FaceDetector | None, clips: Sequence[ComposedClip]) -> dict[str, float]:
    """Figures of one detector over composed clips."""
    seen, right, false_alarms, pixels, shown, spent = [], [], 0, [], [], 0.0
    for clip in clips:
        started = time.process_time()
        found = [[] if detector is None else detector.detect(frame) for frame in clip.frames]
        spent += time.process_time() - started
        for faces, (truth, *others) in zip(found, clip.faces, strict=True):
            seen.append(bool(faces))
            right.append(any(overlap(face.box, truth) >= 0.3 for face in faces))
            known = [truth, *others]
            false_alarms += sum(all(overlap(face.box, box) < 0.1 for box in known) for face in faces)
        replay = None if detector is None else Replayed(found)
        crops = face_crops(_marks(clip), replay, CROP).crops[..., 0] / 255.0
        whole = np.sqrt(crops.mean(axis=(1, 2))) * CROP  # side of the square that covers as much
        pixels.append(float(np.median(whole)))
        shown.append(_share_shown(clip, detector, found))
    figures = {"face_pixels": float(np.median(pixels)), "clips_missed": float(np.mean(np.array(shown) < 0.5))}
    if detector is not None:
        figures |= {
            "frames_with_a_face": float(np.mean(seen)),
            "frames_with_the_face": float(np.mean(right)),
            "false_alarms": false_alarms / len(seen),
            "milliseconds": spent / len(seen) * 1000,
        }
    return {f"{name}_{figure}": round(value, 4) for figure, value in figures.items()}


def _marks(clip: ComposedClip) -> Pictures:
    """The clip's frames, white where the first person's face is, black elsewhere: crops of them say what crops show."""
    marks = np.zeros_like(clip.frames)
    for picture, (box, *_) in zip(marks, clip.faces, strict=True):
        x, y, across, down = (int(value) for value in box)
        picture[y : y + down, x : x + across] = 255
    return marks


def _share_shown(
    clip: ComposedClip, detector: FaceDetector | None, found: Sequence[list[DetectedFace]]
) -> float:
    """How much of the first person's face the crops show, mean over the frames, 0..1."""
    # a ramp inside the face: the range of its values in the crop is the share of the face's width that is there
    ramps = np.zeros_like(clip.frames)
    for picture, (box, *_) in zip(ramps, clip.faces, strict=True):
        x, y, across, down = (int(value) for value in box)
        picture[y : y + down, x : x + across] = np.linspace(1, 255, across)[None, :, None].astype(np.uint8)
    crops = face_crops(ramps, None if detector is None else Replayed(found), CROP).crops[..., 0]
    ranges = [float(np.ptp(crop[crop > 0])) if (crop > 0).any() else 0.0 for crop in crops]
    return float(np.mean(ranges)) / 254


def frames_of(folder: Path) -> list[Pictures]:
    """Every picture of a folder, and 8 frames of every clip."""
    frames: list[Pictures] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix.lower() in PICTURE_SUFFIXES:
            picture = cv2.imread(str(path))
            if picture is not None:
                frames.append(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8))
            continue
        try:
            frames += list(sample_frames(path, 8))
        except MediaError:
            continue
    return frames


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Run from the command line; returns the figures."""
    options = parser(__doc__ or "")
    shared = Path("../shared")
    options.add_argument(
        "--faces", type=Path, default=shared / "data/fer2013-private/faces.npz", help="FER2013"
    )
    options.add_argument("--yunet", type=Path, default=shared / "models/face_detection_yunet_2026may.onnx")
    options.add_argument("--clips", type=int, default=200, help="composed clips of 6 frames")
    options.add_argument("--pictures", type=Path, help="a folder of your own pictures and clips")
    chosen = options.parse_args(arguments)
    with np.load(chosen.faces) as stored:
        faces = np.asarray(stored["images"], dtype=np.uint8)
    clips = [compose(faces, number) for number in range(12 if chosen.quick else chosen.clips)]
    detectors: dict[str, FaceDetector | None] = {"none": None, "haar": HaarDetector()}
    detectors["yunet"] = YuNetDetector(chosen.yunet)
    pictures = frames_of(chosen.pictures) if chosen.pictures is not None else []
    figures: dict[str, float] = {"clips": float(len(clips)), "pictures": float(len(pictures))}
    for name, detector in detectors.items():
        figures |= measured(name, detector, clips)
        if detector is not None and pictures:
            counts = [len(detector.detect(picture)) for picture in pictures]
            figures[f"{name}_pictures_with_a_face"] = float(np.mean([count > 0 for count in counts]))
            figures[f"{name}_faces_in_pictures"] = float(sum(counts))
    for name, value in figures.items():
        print(f"{name:<28} {value:g}")
    write_figures(chosen.json, figures)
    return figures


if __name__ == "__main__":
    main()
