"""What a flow run is called: what it works on, and the name that Prefect draws, which makes it the only one of its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from prefect.context import FlowRunContext

from flows.options import FlowOptions
from flows.predict_options import PredictOptions
from mer.errors import ConfigError

DEMO = "demo corpus"
_LONGEST = 60
"""Characters of what a run works on: lists of runs show a line each."""


def run_name() -> str:
    """Name of the flow run that begins now, see `prefect.flow`; one that begins again keeps its name."""
    context = FlowRunContext.get()
    assert context is not None and context.flow_run is not None
    drawn = context.flow_run.name
    subject = subject_of(context.parameters or {})
    return drawn if not subject or drawn.startswith(f"{subject} (") else f"{subject} ({drawn})"


def subject_of(parameters: Mapping[str, Any]) -> str:
    """What a run with these parameters works on: `ravdess, recipe adapted`; empty where nothing tells."""
    options = parameters.get("options")
    if isinstance(options, FlowOptions):
        model = getattr(options, "model", "")
        return _short(f"{_corpus(options)}, recipe {_recipe(options)}{model and f', model {model}'}")
    if isinstance(options, PredictOptions):
        what = PurePath(options.candidates or options.paths[0]).name or options.paths[0]
        more = f" and {more} more" if not options.candidates and (more := len(options.paths) - 1) else ""
        return _short(f"{what}{more}, {f'model {options.model}' if options.model else 'newest champion'}")
    if (version := getattr(options, "version", None)) is not None:
        return _short(f"{getattr(options, 'model', '')} version {version}")
    return ""


def _corpus(options: FlowOptions) -> str:
    if not options.corpus:
        return options.corpus_name or DEMO
    try:
        return options.catalogue_name(options.corpus)
    except ConfigError:  # said by the run itself
        return PurePath(options.corpus).name


def _recipe(options: FlowOptions) -> str:
    return PurePath(options.recipe_source).stem


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
