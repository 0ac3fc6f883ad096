"""Any encoder whose layers can be entered and left anywhere, by the feature that names it: what adaptation trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.weights import ResolvedWeights

if TYPE_CHECKING:
    from mer.encoders.hidden_states import LayeredEncoder
    from mer.encoders.picture_layers import PictureLayers
    from mer.encoders.text_layers import TextLayers


def load_layers(
    modality: str, resolved: ResolvedWeights, placement: Placement = ON_CPU, prompt: str | None = None
) -> LayeredEncoder | PictureLayers | TextLayers:
    """The layers of an encoder of speech, pictures or text.

    Args:
        modality: acoustic, visual or lexical.
        resolved: checked weights.
        placement: device and precision.
        prompt: template around every text, see `mer.encoders.prompts`.

    Raises:
        ConfigError: not an encoder whose layers can be entered one by one.
        WeightsError: weights cannot be read or do not fill the model.
    """
    if modality == "acoustic":
        from mer.encoders.acoustic import load_acoustic

        return load_acoustic(resolved, placement)
    if modality == "visual":
        from mer.encoders.visual import load_visual

        return load_visual(resolved, placement).layers()
    from mer.encoders.lexical import load_lexical

    return load_lexical(resolved, placement, prompt).layers()
