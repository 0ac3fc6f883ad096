"""What a recipe's options are: each with its value, default, range and meaning, as the models of options say them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from mer.features.spec import CROPS_SOURCE, FILES_PREFIX, SOUND_SOURCE
from mer.media.detector_choice import AUTO, HAAR, OPENFACE
from mer.recipes.allowed_values import allowed_values
from mer.recipes.fields import models_in
from mer.recipes.loading import base_of, load_recipe, recipe_names
from mer.recipes.recipe import Recipe

SOURCE_OPTIONS = ("source", "encoder", "recogniser", "detector", "multilingual")
"""Options that name weights or files."""

_HERE_PREFIXES = ("wheel:", "seed:")
_HERE = (CROPS_SOURCE, SOUND_SOURCE, AUTO, HAAR, OPENFACE)


@dataclass(frozen=True, kw_only=True)
class OptionDescription:
    """One option of a recipe."""

    path: str
    """Dotted, as `--set` takes it; items of a list, which are set together, are numbered: `augmentations[0].speeds`."""
    value: Any
    """In the recipe; None for a group of options as well."""
    default: Any
    """Where it is left out; None also where it cannot be."""
    required: bool
    """Has no default."""
    allowed: str
    """Kind, range or choices; empty for a group of options."""
    meaning: str
    """The option's description."""
    changed: bool
    """The recipe's value is not the default."""
    used: bool = True
    """False for a group that the recipe leaves out, and for its options."""
    group: bool = False
    """The options below this one follow it."""

    @property
    def value_text(self) -> str:
        """The value as YAML in one line."""
        return as_yaml(self.value)

    @property
    def default_text(self) -> str:
        """The default as YAML in one line; empty where there is none."""
        return "" if self.required else as_yaml(self.default)


@dataclass(frozen=True)
class RecipeSummary:
    """A built-in recipe in a few words."""

    name: str
    description: str
    extends: str | None
    needs: tuple[str, ...]
    """What is neither in the wheels nor made here: folders or hub revisions of weights, features of the corpus."""


def describe_recipe(recipe: Recipe) -> tuple[OptionDescription, ...]:
    """Every option of a recipe, groups before their options, in the order of the models."""
    return tuple(_options(recipe, "", default=None))


def describe_recipes() -> tuple[RecipeSummary, ...]:
    """The built-in recipes."""
    return tuple(
        RecipeSummary(recipe.name, recipe.description, base_of(recipe.name), needs_of(recipe))
        for recipe in map(load_recipe, recipe_names())
    )


def needs_of(recipe: Recipe) -> tuple[str, ...]:
    """Sources that the recipe's options name and that no wheel holds, each once."""
    named = (
        option.value
        for option in describe_recipe(recipe)
        if option.used and option.path.rpartition(".")[2] in SOURCE_OPTIONS and isinstance(option.value, str)
    )
    external = (source for source in named if not source.startswith(_HERE_PREFIXES) and source not in _HERE)
    return tuple(dict.fromkeys(map(_need, external)))


def as_yaml(value: Any) -> str:
    """A value as YAML in one line."""
    plain = to_jsonable_python(value)
    dumped = yaml.safe_dump(
        [plain], default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9
    )
    return dumped.strip()[1:-1]


def _need(source: str) -> str:
    if source.startswith(FILES_PREFIX):
        return f"features/{source.removeprefix(FILES_PREFIX)} of the corpus"
    return source


def _options(
    model: BaseModel, prefix: str, default: BaseModel | None, used: bool = True
) -> Iterator[OptionDescription]:
    """Options of a model that stands at a path; `default` is what would stand there by default."""
    least = default or _least(model)
    for name, field in type(model).model_fields.items():
        required = field.is_required() and default is None
        otherwise = None if required else getattr(least, name)
        yield from _option(f"{prefix}{name}", field, getattr(model, name), otherwise, required, used)


def _least(model: BaseModel) -> BaseModel:
    """What the model is where only what must be stated is: some defaults depend on it, as those of features on the modality."""
    fields = type(model).model_fields
    stated = {name: getattr(model, name) for name, field in fields.items() if field.is_required()}
    try:
        return type(model).model_validate(stated)
    except ValidationError:  # the defaults alone do not fit together
        defaults = {
            name: field.get_default(call_default_factory=True)
            for name, field in fields.items()
            if not field.is_required()
        }
        return type(model).model_construct(**stated, **defaults)


def _option(
    path: str, field: FieldInfo, value: Any, default: Any, required: bool, used: bool
) -> Iterator[OptionDescription]:
    below = list(_below(path, field, value, default, used))
    yield OptionDescription(
        path=path,
        value=None if below else value,
        default=None if below else default,
        required=required,
        allowed="" if below else allowed_values(field),
        meaning=field.description or "",
        changed=used and (required or value != default),
        used=used and not (below and value is None),
        group=bool(below),
    )
    yield from below


def _below(path: str, field: FieldInfo, value: Any, default: Any, used: bool) -> Iterator[OptionDescription]:
    """The options below one; of a group that is left out those of the model that it would be."""
    if isinstance(value, BaseModel):
        yield from _options(value, f"{path}.", default if isinstance(default, type(value)) else None, used)
    elif isinstance(value, Mapping) and any(isinstance(item, BaseModel) for item in value.values()):
        for key, item in value.items():
            yield from _item(f"{path}.{key}", item, used)
    elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        for number, item in enumerate(value):
            yield from _item(f"{path}[{number}]", item, used)
    elif value is None:
        for model in models_in(field.annotation):
            yield from _left_out(model, f"{path}.")


def _item(path: str, item: BaseModel, used: bool) -> Iterator[OptionDescription]:
    meaning = " ".join((type(item).__doc__ or "").split("\n\n")[0].split())
    yield OptionDescription(
        path=path,
        value=None,
        default=None,
        required=True,
        allowed="",
        meaning=meaning,
        changed=used,
        used=used,
        group=True,
    )
    yield from _options(item, f"{path}.", None, used)


def _left_out(model: type[BaseModel], prefix: str) -> Iterator[OptionDescription]:
    for name, field in model.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        yield from _option(f"{prefix}{name}", field, default, default, field.is_required(), used=False)
