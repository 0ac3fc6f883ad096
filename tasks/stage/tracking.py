"""The parent run of a flow run in the tracker: dataset, headline figures and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType

from prefect import task

from infra.catalogue.run_processes import executing_process
from infra.errors import InfraError
from infra.observing import logged
from mer.recipes import Recipe
from tasks.stage.origin import run_origin, run_tags
from tasks.stage.references import View
from tasks.stage.run import StageResult, flatten
from tasks.stage.workspace import workspace

NO_TAGS: Mapping[str, str] = MappingProxyType({})


@task(name="close tracked run")
def close_tracked_run(
    view: View, recipe: Recipe, evaluation: StageResult, why: Mapping[str, str] = NO_TAGS, nothing: str = ""
) -> str | None:
    """Give the parent run its data set, recipe, origin and headline figures, and mark it finished; returns its page in MLflow.

    A run in which the evaluation was found ready did nothing new, and leaves no run behind, but for one that says why clips wait.

    Args:
        view: the view that is served.
        recipe: of the run.
        evaluation: of this run.
        why: tags that say why models were or were not fitted again.
        nothing: said of a run in which nothing was fitted though clips are new; empty: there are none.

    Returns:
        None: no run is left behind, or MLflow does not answer.
    """
    if view.parent_run is None or not (evaluation.ran or nothing):
        return None
    dataset = view.dataset
    space = workspace()
    if not evaluation.ran:
        origin = run_tags(run_origin(recipe.name, dataset.corpus), nothing)
        space.tracker.log_run(view.parent_run, tags={**origin, **why}, status="FINISHED")
        return space.tracker.run_page(view.parent_run)
    figures = {
        name: space.artifacts.read(evaluation.ref, name)
        for name in ("confusion_matrix.png", "reliability.png")
    }
    space.tracker.log_run(
        view.parent_run,
        params=flatten(recipe.model_dump(mode="json", exclude={"description"})),
        metrics={name: value for name, value in evaluation.meta.items() if isinstance(value, float)},
        figures=figures,
        tags={
            "served": str(evaluation.meta["served"]),
            "membership": dataset.membership,
            **run_tags(
                run_origin(recipe.name, dataset.corpus),
                f"Trained on {dataset.clips} clips; {evaluation.meta['served']} is served.",
            ),
            **why,
        },
        dataset=(dataset.corpus, dataset.membership, dataset.clips),
        status="FINISHED",
    )
    return space.tracker.run_page(view.parent_run)


@task(name="close tracked studies")
def close_tracked_studies(view: View, recipe: Recipe, studies: Sequence[StageResult]) -> None:
    """Give the parent run of layer studies its data set and recipe, and mark it finished.

    Where every study was found ready nothing new was done, and no run is left behind. Curves and figures are the stages' own.
    """
    dataset = view.dataset
    if view.parent_run is not None and any(study.ran for study in studies):
        workspace().tracker.log_run(
            view.parent_run,
            params=flatten(recipe.model_dump(mode="json", exclude={"description"})),
            tags={
                "streams": ", ".join(dict.fromkeys(str(study.meta["stream"]) for study in studies)),
                "membership": dataset.membership,
                **run_tags(
                    run_origin(recipe.name, dataset.corpus), f"Layer studies on {dataset.clips} clips."
                ),
            },
            dataset=(dataset.corpus, dataset.membership, dataset.clips),
            status="FINISHED",
        )


@contextmanager
def tracked(parent_run: str) -> Iterator[None]:
    """Mark the parent run failed if the block fails, so that it is not shown as running.

    The run is noted beside the process: of one that is killed meanwhile the supervisor marks it.
    """
    space = workspace()
    space.catalogue.set_tracked_run(executing_process(), parent_run)
    try:
        with logged(tracked_run=parent_run):
            yield
    except BaseException:
        space.tracker.log_run(parent_run, status="FAILED")
        raise
    finally:
        with suppress(InfraError):  # an error on its way says more
            space.catalogue.set_tracked_run(executing_process(), None)
