"""Variants of the training clips' sound that an adaptation learns from, as an option of the acoustic stream. Imports no
torch.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from mer.features.augmentation import AugmentedVariant, WaveformAugmentation


class AdaptationVariants(BaseModel):
    """Augmented variants of every labelled clip that is not held out, made once and stored as ordinary feature sets
    (reconstruction: the paper of system A names none).

    Deterministic variants are augmentations of one kind with probability 1 and one value, e.g. `{speeds: [0.9],
    speed_probability: 1, reverberation_probability: 0, noise_probability: 0, gain_probability: 0}` with `count: 1`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    augmentations: tuple[WaveformAugmentation, ...] = Field(
        default=(WaveformAugmentation(),), min_length=1, description="What may happen to the sound."
    )
    count: int = Field(
        default=2,
        ge=1,
        le=32,
        description="Variants of each augmentation (number); each costs an extraction of the labelled clips, once.",
    )
    seed: int = Field(default=1, ge=0, description="Another seed draws (and extracts) all variants anew.")

    def variants(self) -> tuple[AugmentedVariant, ...]:
        """All variants, numbered through: those of one augmentation after those of another."""
        kinds = [augmentation for augmentation in self.augmentations for _ in range(self.count)]
        return tuple(
            AugmentedVariant(augmentation=kind, variant=number, seed=self.seed)
            for number, kind in enumerate(kinds)
        )
