"""A model version as one folder: everything a prediction needs except the public encoders' weights, which it names and pins.

package.json                    this module's record: recipe, chosen layers, temperature, how members are combined
fusion/                         the one fusion that is served, or
members/0/  members/1/  ...     the fusions that the served ensemble combines
adapter/  alignment/            safetensors + JSON, as their stages wrote them
adapters/visual/  .../lexical/  the same for adapted encoders of pictures and text
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from mer.ensemble.ensemble import Ensemble
from mer.recipes import Recipe

RECORD = "package.json"
ADAPTER_FOLDER = "adapter"
STREAM_ADAPTERS_FOLDER = "adapters"
ALIGNMENT_FOLDER = "alignment"
FUSION_FOLDER = "fusion"
MEMBERS_FOLDER = "members"


class ModelPackage(BaseModel):
    """Content of a model version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe = Field(description="The recipe that made it.")
    read_layer: int | None = Field(
        default=None, ge=0, description="Frozen hidden state that the layer study chose."
    )
    block: tuple[int, int] | None = Field(
        default=None, description="Adapted block (start, stop), if the fusion reads an adapted state."
    )
    tower_blocks: dict[str, tuple[int, int]] = Field(
        default_factory=dict,
        description="Adapted blocks (start, stop) of the encoders of pictures and text, by stream.",
    )
    temperature: float = Field(default=1.0, gt=0.0, description="Calibration temperature of the posteriors.")
    system: str = Field(
        description="Which system was chosen: `fused`, `ensemble`, or one of them with `+pseudo`."
    )
    generations: tuple[str, ...] = Field(
        default=(), description="Keys of the generations of pseudo-labels that were learnt from."
    )
    ensemble: Ensemble | None = Field(
        default=None, description="How the members' posteriors are combined; none: there is one fusion."
    )

    @property
    def fusion_folders(self) -> dict[str, str]:
        """Name of every fusion -> its folder; members are numbered, as their names may be no file names."""
        if self.ensemble is None:
            return {self.system: FUSION_FOLDER}
        return {name: f"{MEMBERS_FOLDER}/{number}" for number, name in enumerate(self.ensemble.needed)}

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
