"""Options of the adaptation of encoders whose frames are tokens: pictures and texts. Imports no torch.

The options are those of speech; only what suits tokens by default differs.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from mer.adaptation.config import AdaptationConfig


class PictureAdaptation(AdaptationConfig):
    """PEFT of a vision encoder (system B: CLIP is fine-tuned). Reconstruction: tokens, mostly patches, are hidden and
    predicted as frames of sound are.
    """

    mask_span_frames: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Length of one hidden span (tokens, row after row of a picture).",
    )
    max_frames: int = Field(
        default=100_000,
        ge=8,
        le=100_000,
        description="Longest piece of a clip trained on (tokens): at least all pictures of a clip.",
    )

    @model_validator(mode="after")
    def _adapts_each_picture(self) -> PictureAdaptation:
        if self.method == "prompt":
            raise ValueError(
                "method: prompt frames would be put before a clip's first picture only, and pictures do not see each other; "
                "expected lora, dora, ia3 or bottleneck"
            )
        return self


class TextAdaptation(AdaptationConfig):
    """PEFT of a text encoder or a causal language model (system B: Baichuan is fine-tuned).

    Reconstruction: nothing is hidden by default. A transcript has few words, and a model that is asked by a prompt
    must be shown all of it.
    """

    mask_weight: float = Field(
        default=0.0,
        ge=0.0,
        le=100.0,
        description="lambda of the masked reconstruction loss; 0 leaves it out.",
    )
    mask_probability: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="Share of a text's tokens hidden in training, and predicted."
    )
    mask_span_frames: int = Field(default=1, ge=1, le=1000, description="Length of one hidden span (tokens).")
    max_frames: int = Field(
        default=100_000,
        ge=2048,
        le=100_000,
        description="Longest text (tokens): none is cut here, a prompt would lose its end.",
    )
