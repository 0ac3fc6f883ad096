"""The one way to a fusion model: by name, as `mer.fusion.registry` has it."""

from __future__ import annotations

from importlib.metadata import entry_points

from mer.errors import ConfigError
from mer.fusion.config import FusionConfig
from mer.fusion.model import Builder, FusionModel, FusionOutput, FusionShape
from mer.fusion.registry import ENTRY_POINTS, MODELS, builders_given, model_names

__all__ = ["Builder", "FusionModel", "FusionOutput", "FusionShape", "build_fusion", "builder_of"]


def builder_of(name: str) -> Builder:
    """The builder registered under `name`; a name of this package cannot be taken by another.

    Raises:
        ConfigError: no such model, or an entry point that cannot be loaded.
    """
    if name in MODELS:
        built_in: Builder = MODELS.load(name)
        return built_in
    if name in builders_given():
        given: Builder = builders_given()[name]
        return given
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            try:
                added: Builder = entry.load()
            except (ImportError, AttributeError) as error:
                raise ConfigError(
                    f"fusion model {name!r}: expected a builder at {entry.value!r}, found none ({error}); repair or "
                    "remove the package that names it"
                ) from error
            return added
    raise ConfigError(f"fusion model {name!r}: expected one of {', '.join(model_names())}")


def build_fusion(shape: FusionShape, config: FusionConfig) -> FusionModel:
    """An untrained model of the kind that `config.model` names.

    Raises:
        ConfigError: no such model, no streams, or a builder that gives something else than a fusion model.
    """
    if not shape.widths or min(shape.widths.values()) < 1 or shape.classes < 2:
        raise ConfigError(f"fusion: expected streams with features and at least 2 classes, found {shape}")
    model = builder_of(config.model)(shape, config)
    if not isinstance(model, FusionModel):
        raise ConfigError(
            f"fusion model {config.model!r}: expected its builder to give a FusionModel, found {type(model).__name__}"
        )
    return model
