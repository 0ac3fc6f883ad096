"""Base of the options of picture and text streams: an encoder that may be adapted. Imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.features.spec import FeatureSpec


class AdaptedEncoder(BaseModel):
    """A stream whose encoder may be adapted by PEFT and is then a feature extractor (system B, fine-tuned encoders)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: FeatureSpec = Field(description="Frozen features; they name the encoder.")
    adaptation: AdaptationConfig | None = Field(
        default=None, description="PEFT; none: frozen features alone."
    )
    block: tuple[int, int] | None = Field(
        default=None,
        description="Layers to adapt, from the first number on up to the second (hidden states, 0 = embeddings): [18, 24] "
        "are the last six of 24. None: the block that this stream's layer study chooses.",
    )
    keep_frozen: bool = Field(
        default=True,
        description="Give the fusion the frozen vector beside the adapted one (only with `adaptation`).",
    )

    @model_validator(mode="after")
    def _something_to_adapt(self) -> AdaptedEncoder:
        if self.block is not None and not 0 <= self.block[0] < self.block[1]:
            raise ValueError(f"block: expected 0 <= first < second, found {list(self.block)}")
        if self.adaptation is None:
            if self.block is not None:
                raise ValueError("block: expected `adaptation` as well, found none")
            return self
        if not self.features.encoded:
            raise ValueError(
                f"adaptation: expected features of an encoder, found {self.features.source!r}, which has no layers; "
                "name an encoder, or leave adaptation out"
            )
        if self.features.tokens == "sum":
            raise ValueError("adaptation: expected `tokens` class or patches, found sum")
        return self

    @property
    def named_block(self) -> Block | None:
        """The block, where the recipe names one."""
        return Block(*self.block) if self.block is not None else None
