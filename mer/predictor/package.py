"""A model version as one folder: everything a prediction needs except the public encoders' weights, which it names and pins.

package.json                    this module's record: recipe, what was learnt of streams, temperature, how members are combined
fusion/                         the one fusion that is served, or
members/0/  members/1/  ...     the fusions that the served ensemble combines
streams/<name>/adapter/         safetensors + JSON, as their stages wrote them
streams/<name>/alignment/
detectors/<sha256>.onnx         files of the face detectors that the recipe names by content
domain/                         where the training set lies, see `mer.domain`; packages to 0.3.0 have none

Packages of 0.1.0 and 0.2.0 have other folders for the latter two: `mer.predictor.earlier_package`.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from mer.ensemble.ensemble import Ensemble
from mer.errors import UNREADABLE, WeightsError
from mer.media.detector_choice import YUNET_PREFIX, content_of
from mer.names import STORED
from mer.predictor.earlier_package import is_earlier, translated
from mer.recipes import Recipe
from mer.whole_files import write_whole

RECORD = "package.json"
STREAMS_FOLDER = "streams"
ADAPTER_FOLDER = "adapter"
ALIGNMENT_FOLDER = "alignment"
FUSION_FOLDER = "fusion"
MEMBERS_FOLDER = "members"
DOMAIN_FOLDER = "domain"
DETECTORS_FOLDER = "detectors"


def detector_path(detector: str) -> str | None:
    """Where in a package the file of a face detector lies; None for detectors without a file, or named by path."""
    return f"{DETECTORS_FOLDER}/{content_of(detector)}.onnx" if detector.startswith(YUNET_PREFIX) else None


class ServedStream(BaseModel):
    """What was learnt of a stream for the model that is served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read_layer: int | None = Field(
        default=None, ge=0, description="Frozen hidden state that the layer study chose."
    )
    block: tuple[int, int] | None = Field(
        default=None, description="Adapted block (start, stop), if an adapted state is read."
    )
    adapter: str | None = Field(default=None, description="Folder of the adapter within the package.")
    alignment: str | None = Field(default=None, description="Folder of the alignment within the package.")


class ModelPackage(BaseModel):
    """Content of a model version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe = Field(description="The recipe that made it.")
    streams: dict[str, ServedStream] = Field(
        default_factory=dict, description="What was learnt of each stream that is read, by name."
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
    domain: str | None = Field(
        default=None,
        description="Folder of where the training set lies within the package; none: nothing is flagged as out of domain.",
    )

    def served(self, stream: str) -> ServedStream:
        """What was learnt of a stream; nothing where it is read as its encoder gives it."""
        return self.streams.get(stream, ServedStream())

    @property
    def fusion_folders(self) -> dict[str, str]:
        """Name of every fusion -> its folder; members are numbered, as their names may be no file names."""
        if self.ensemble is None:
            return {self.system: FUSION_FOLDER}
        return {name: f"{MEMBERS_FOLDER}/{number}" for number, name in enumerate(self.ensemble.needed)}

    @property
    def runs_encoders(self) -> bool:
        """Whether a prediction computes with encoders; False where all streams are read from feature files."""
        recipe = self.recipe
        return any(
            recipe.streams[name].features.encoded or self.served(name).alignment is not None
            for name in recipe.reads
        )

    def write(self, folder: Path) -> Path:
        """Write the record into `folder`; returns its path."""
        path = folder / RECORD
        write_whole(path, self.model_dump_json(indent=1).encode())
        return path

    @classmethod
    def read(cls, folder: Path) -> ModelPackage:
        """Read the record of a package folder. Raises WeightsError."""
        try:
            record = (folder / RECORD).read_bytes()
        except OSError as error:
            raise WeightsError(f"{folder}: expected a model package, found no {RECORD}: {error}") from error
        return cls.parse(record)

    @classmethod
    def parse(cls, record: str | bytes) -> ModelPackage:
        """The package of a record's text, of this or an earlier form.

        Raises:
            WeightsError: it is none.
        """
        try:
            values = json.loads(record)
            return cls.model_validate(translated(values) if is_earlier(values) else values, context=STORED)
        except UNREADABLE as error:
            raise WeightsError(
                f"{RECORD}: expected the record of a model package, found something else: {' '.join(str(error).split())[:1000]}"
            ) from error
