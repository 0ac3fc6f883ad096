"""What a run has made, as its report reads it: systems, stages with their artifacts, and the files that figures are kept in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.artifacts import ArtifactRef
from mer.recipes import Recipe
from tasks.stage.references import FusedView, StreamInputs, View

if TYPE_CHECKING:
    from mer.systems.choice import SystemChoice

KIND = "figures"
LAYERS, ALIGNMENT, CURVES, SEARCH = "layers.json", "alignment.json", "curves.json", "search.json"
DIFFERENCES, WEIGHTS, MAPS, STAGES = "differences.json", "weights.json", "maps.json", "stages.json"
P_VALUE, P_HOLM = "waf_p", "waf_p_holm"
"""In a row of differences: p-value of the paired test, and the same corrected for all rows."""
FILES = (LAYERS, ALIGNMENT, CURVES, SEARCH, DIFFERENCES, WEIGHTS, MAPS, STAGES)


@dataclass(frozen=True)
class RunResults:
    """What a run has made."""

    view: View
    """The view that is served."""
    recipe: Recipe
    inputs: Mapping[str, StreamInputs]
    """View -> all streams as it has them."""
    fused: tuple[FusedView, ...]
    """All systems on all views."""
    served: str
    """Name of the one that is served."""
    evaluation: ArtifactRef

    def named(self, system: str) -> dict[str, FusedView]:
        """View -> the system of this name."""
        return {item.view: item for item in self.fused if item.system == system and item.part is None}

    @property
    def systems(self) -> tuple[str, ...]:
        """Names of all systems."""
        return tuple(dict.fromkeys(item.system for item in self.fused))


@dataclass(frozen=True)
class Stage:
    """An artifact of the run."""

    role: str
    """`layer study`, `adaptation`, `alignment`, `fusion` or `posteriors`."""
    name: str
    """Of the stream, or of the system."""
    view: str
    ref: ArtifactRef


def listed_stages(results: RunResults) -> tuple[Stage, ...]:
    """The artifacts of the run that figures come from, in a fixed order."""
    stages: list[Stage] = []
    for view, inputs in results.inputs.items():
        for name, stream in inputs.items():
            learnt = stream.learnt
            made = {"layer study": learnt.study, "adaptation": learnt.adapter, "alignment": learnt.alignment}
            stages += [Stage(role, name, view, ref) for role, ref in made.items() if ref is not None]
    for item in results.fused:
        if item.part is None:
            stages += [
                Stage("fusion", item.system, item.view, item.model),
                Stage("posteriors", item.system, item.view, item.posteriors),
            ]
    return tuple(dict.fromkeys(stages))


def served_choice(recipe: Recipe) -> SystemChoice | None:
    """Kind and options of what is served, where it is one system; None: a combination of named members."""
    from mer.recipes.systems import leading_system

    if recipe.serves_ensemble and recipe.searched_choice is None:
        return None
    return leading_system(recipe).choice
