"""`from_pretrained`, strictly: a checked local folder, safetensors only, and every weight found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from mer.encoders.int8 import quantise_linear_layers
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.weights import ResolvedWeights
from mer.errors import WeightsError


def pretrained(
    model_class: Any,
    resolved: ResolvedWeights,
    placement: Placement = ON_CPU,
    unused: tuple[str, ...] = (),
    names: Mapping[str, str] | None = None,
) -> Any:
    """Load `model_class` from the resolved folder: evaluation mode, no gradients.

    Attention is torch's scaled dot product wherever transformers has it for the model (its default).

    Args:
        model_class: a transformers class with `from_pretrained`.
        resolved: checked weights.
        placement: device and precision.
        unused: prefixes of parameters that may be missing because they are never used here.
        names: patterns of names in the checkpoint -> what the model calls them, where it is a part of what was saved.

    Raises:
        WeightsError: a weight is missing (it would silently be random), or the files cannot be read.
    """
    options: dict[str, Any] = {"dtype": placement.dtype, "output_loading_info": True, "use_safetensors": True}
    if names is not None:
        options["key_mapping"] = dict(names)
    try:
        with _quietly():
            model, report = model_class.from_pretrained(
                resolved.folder, local_files_only=True, trust_remote_code=False, **options
            )
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, ImportError, SafetensorError) as error:
        raise WeightsError(
            f"{resolved.source}: cannot be loaded as {model_class.__name__}: {error}"
        ) from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(unused or ("\0",)))
    if missing or report.get("mismatched_keys"):
        raise WeightsError(
            f"{resolved.source}: {len(missing)} weights of {model_class.__name__} are missing "
            f"({', '.join(missing[:3])}), mismatched: {report.get('mismatched_keys')}"
        )
    model = model.eval().requires_grad_(False).to(placement.device)
    if placement.precision == "int8":
        quantise_linear_layers(model, placement.device)
    return model


def image_processor(resolved: ResolvedWeights) -> Any:
    """The checkpoint's image processor. Raises WeightsError where there is none."""
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(
            resolved.folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise WeightsError(f"{resolved.source}: no usable preprocessor_config.json: {error}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """No progress bar and no loading report: parts of a checkpoint are left out on purpose, and checked
    here.
    """
    bar, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bar:
            transformers_logging.enable_progress_bar()
