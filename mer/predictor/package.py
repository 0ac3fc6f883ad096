"""A model version as one folder: everything a prediction needs except the public encoders' weights, which it names and pins.

package.json                    this module's record: recipe, chosen layers, temperature
fusion/  adapter/  alignment/   safetensors + JSON, as their stages wrote them
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from mer.recipes import Recipe

RECORD = "package.json"
ADAPTER_FOLDER = "adapter"
ALIGNMENT_FOLDER = "alignment"
FUSION_FOLDER = "fusion"


class ModelPackage(BaseModel):
    """What a model version is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe = Field(description="The recipe that made it.")
    read_layer: int | None = Field(
        default=None, ge=0, description="Frozen hidden state the acoustic stream reads."
    )
    block: tuple[int, int] | None = Field(
        default=None, description="Adapted block (start, stop), if adapted."
    )
    temperature: float = Field(default=1.0, gt=0.0, description="Calibration temperature of the posteriors.")
    system: str = Field(description="Which fusion was chosen: `fused` or `fused+pseudo`.")

    def write(self, folder: Path) -> Path:
        """Write the record into `folder`; returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / RECORD
        path.write_text(self.model_dump_json(indent=1), encoding="utf-8")
        return path

    @classmethod
    def read(cls, folder: Path) -> ModelPackage:
        """Read the record of a package folder."""
        return cls.model_validate_json((folder / RECORD).read_text(encoding="utf-8"))
