"""The loss form that a fusion's options name."""

from __future__ import annotations

from mer.errors import ConfigError
from mer.fusion.config import FusionConfig
from mer.training.loss_forms import LossForm


def loss_form_of(config: FusionConfig) -> LossForm:
    """The loss that these options name.

    Raises:
        ConfigError: options that contradict each other (a copy of valid options with some replaced is not validated).
    """
    if conflict := config.loss_conflict():
        raise ConfigError(f"fusion: {conflict}")
    return LossForm(
        config.emotion_loss, config.label_smoothing, config.focal_gamma, config.loss_power,
        config.loss_forward, config.loss_reverse, config.loss_log_zero,
    )  # fmt: skip
