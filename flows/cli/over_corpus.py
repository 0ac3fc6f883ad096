"""The options that all commands over a corpus have, stated once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, fields
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints, overload

import typer

from flows.cli.options import (
    ClipsOption,
    CorpusOption,
    EmotionsOption,
    FormatOption,
    LabelMapOption,
    NameOption,
    RecipeOption,
    SetOption,
    TextColumnOption,
    ValenceScaleOption,
)

if TYPE_CHECKING:
    from flows.options import DemoOptions

Options = TypeVar("Options", bound="DemoOptions")
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class CorpusArguments:
    """What is run (a recipe) and on what (a corpus), as the command line gives it."""

    recipe: RecipeOption = ""
    set: SetOption = None
    corpus: CorpusOption = ""
    name: NameOption = ""
    format: FormatOption = "auto"
    label_map: LabelMapOption = ""
    emotions: EmotionsOption = ""
    valence_scale: ValenceScaleOption = ""
    text_column: TextColumnOption = ""
    demo_clips: ClipsOption = 200

    def options(self, kind: type[Options], **more: Any) -> Options:
        """The flow's options; `more` is what this flow alone has.

        Raises:
            ConfigError: an option is out of range; all of them are named.
        """
        from flows.options import checked_options

        return checked_options(
            kind,
            {
                "recipe": self.recipe,
                "set": tuple(self.set or ()),
                "corpus": self.corpus,
                "corpus_name": self.name,
                "format": self.format,
                "label_map": self.label_map,
                "emotions": self.emotions,
                "valence_scale": self.valence_scale,
                "text_column": self.text_column,
                "demo_clips": self.demo_clips,
                **more,
            },
        )


Command = Callable[..., None]


@overload
def over_corpus(command: Command) -> Command: ...


@overload
def over_corpus(*, starts: bool = True, called: Mapping[str, str] = ...) -> Callable[[Command], Command]: ...


def over_corpus(
    command: Command | None = None, *, starts: bool = True, called: Mapping[str, str] = NOTHING
) -> Command | Callable[[Command], Command]:
    """Give a command, whose first parameter is `CorpusArguments`, the fields of these as options before its own.

    Where it `starts` a flow, which takes seconds to load, a line says so first, and which home it writes to. Fields that are
    `called` otherwise leave their option's name to the command; those called nothing are no options of it. Typer reads a
    command's signature; the one that it gets here has a parameter for each field.
    """
    if command is None:
        return lambda given: _expanded(given, starts, called)
    return _expanded(command, starts, called)


def _expanded(command: Command, starts: bool, called: Mapping[str, str]) -> Command:
    shared = get_type_hints(CorpusArguments, include_extras=True)
    for field in [field for field, option in called.items() if not option]:
        del shared[field]
    names = {field: called.get(field, field).strip("-").replace("-", "_") for field in shared}
    for field, option in called.items():
        if field not in shared:
            continue
        kind, described = get_args(shared[field])
        described = copy(described)
        described.default = option  # where typer finds an option's name
        shared[field] = Annotated[kind, described]
    _, *others = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def expanded(**values: Any) -> None:
        if starts:
            from infra.settings import load_settings

            typer.echo(f"starting {command.__name__}; home {load_settings().home}")
        arguments = CorpusArguments(**{field: values.pop(name) for field, name in names.items()})
        command(arguments, **values)

    parameters = [
        inspect.Parameter(
            names[option.name],
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=shared[option.name],
        )
        for option in fields(CorpusArguments)
        if option.name in shared
    ]
    parameters += [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in others]
    expanded.__signature__ = inspect.Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded
