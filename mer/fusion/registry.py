"""Which fusion models there are and where their code is: those of this package, and those that installed packages add.

Another package adds a model by naming its builder in its own metadata, and needs no change here:

    [project.entry-points."mer.fusion_models"]
    my_fusion = "my_package.fusion:build"

A program may also give a builder itself, without a package: `given_builder` makes it known while its fits and predictions run.

Imports neither torch nor a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from mer.implementations import Implementations

ENTRY_POINTS = "mer.fusion_models"
"""Entry point group of models from other packages: name -> builder (see `mer.fusion.model.Builder`)."""

MODELS = Implementations(
    {
        "attention": "mer.fusion.models.attention:baseline",
        "attention_softmax": "mer.fusion.models.attention:normalised",
        "attention_queries": "mer.fusion.models.multi_query:MultiQueryFusion",
        "concat": "mer.fusion.models.concat:ConcatFusion",
        "early": "mer.fusion.models.early:EarlyFusion",
        "late": "mer.fusion.models.late:LateFusion",
        "token_attention": "mer.fusion.models.token_attention:TokenAttentionFusion",
        "afg_early": "mer.fusion.models.structures:EarlyGathering",
        "afg_hierarchical": "mer.fusion.models.structures:HierarchicalGathering",
        "afg_guided": "mer.fusion.models.structures:GuidedGathering",
        "audio_guided": "mer.fusion.models.audio_guided:AudioGuidedTransformer",
    }
)
"""Models of this package: name -> builder."""

AnyBuilder = Callable[..., Any]
"""A `mer.fusion.model.Builder`, whose types this module does not import."""

_given: ContextVar[Mapping[str, AnyBuilder]] = ContextVar("fusion builders", default=MappingProxyType({}))


@contextmanager
def given_builder(name: str, builder: AnyBuilder) -> Iterator[None]:
    """Let `name` stand for this builder inside the `with` block, in this thread or task only.

    Nothing is registered for good: two builders of one name (a class that a notebook defines anew) never meet.
    """
    token = _given.set({**_given.get(), name: builder})
    try:
        yield
    finally:
        _given.reset(token)


def builders_given() -> Mapping[str, AnyBuilder]:
    """Builders that the surrounding `given_builder` blocks make known."""
    return _given.get()


def model_names() -> tuple[str, ...]:
    """Built-in models, then those that installed packages add, then those given here. Loads none of them."""
    added = {entry.name for entry in entry_points(group=ENTRY_POINTS)} | set(_given.get())
    return (*MODELS, *sorted(added - set(MODELS)))


def fusion_implementations(*names: str) -> tuple[str, ...]:
    """`module:attribute` of the builders of these models; nothing for a name that nobody has (building one says so)."""
    added = {entry.name: f"{entry.module}:{entry.attr}" for entry in entry_points(group=ENTRY_POINTS)}
    known = added | dict(MODELS)
    return tuple(known[name] for name in names if name in known)
