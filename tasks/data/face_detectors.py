"""The face detector of a run: what a recipe's `auto` and paths stand for on this machine, and a line for people about it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from infra.settings import Settings
from mer.errors import ConfigError, WeightsError
from mer.media.detector_choice import AUTO, FILE_PATTERNS, HAAR, settled, short_name
from mer.recipes import Recipe
from mer.recipes.face_detectors import with_settled_detectors

HAAR_MILLISECONDS, YUNET_MILLISECONDS = 50, 15
"""Processor time a frame of 640 x 360 pixels, of one core (`python -m benchmarks.face_detection`)."""


def settled_recipe(recipe: Recipe, settings: Settings) -> Recipe:
    """The recipe with detectors named by what they are: `haar` or `yunet:<sha256>`, whose file is in the folder of weights.

    Raises:
        ConfigError: a name that is none.
        WeightsError: a file that is absent, or no model that OpenCV reads as YuNet.
    """
    return with_settled_detectors(recipe, partial(settled_detector, settings=settings))


def settled_detector(name: str, settings: Settings) -> str:
    """What a detector's name stands for on this machine; `auto` is MER_FACE_DETECTOR where that is set.

    Raises:
        ConfigError: a name that is none.
        WeightsError: a file that is absent, or no model that OpenCV reads as YuNet.
    """
    named = settings.face_detector
    try:
        return settled(name, settings.weights_folder, named)
    except (ConfigError, WeightsError) as error:
        if name == AUTO and named is not None:
            raise type(error)(f"MER_FACE_DETECTOR={named}: {error}") from error
        raise


def detector_line(name: str, settings: Settings) -> str:
    """Which settled detector is run, what it costs, and how to get a better one."""
    if name != HAAR:
        return f"faces: detector {short_name(name)} (YuNet), about {YUNET_MILLISECONDS} ms a frame"
    return (
        f"faces: detector haar (OpenCV's cascade), about {HAAR_MILLISECONDS} ms a frame; YuNet finds more faces and is faster: "
        f"place face_detection_yunet_2023mar.onnx (any {FILE_PATTERNS[0]}) in {_shown(settings.weights_folder)}, or name it by "
        "MER_FACE_DETECTOR"
    )


def _shown(folder: Path) -> str:
    """The folder, from the working folder where that is shorter."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)
