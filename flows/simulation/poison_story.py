"""`mer run --simulate-poison`: a flood of one class, wrong labels, and a person who overrules the gate: guard, gate, rollback."""

from __future__ import annotations

import time
from collections.abc import Callable

from flows.simulation.stage import MODEL, corpus_and_recipe, own_home
from flows.simulation.story import Story

FLOOD, WRONG = 60, 60


def tell_poison(start_servers: Callable[[], None], *, verbose: bool = False) -> bool:
    """Play the story; returns whether it ended as told."""
    from mer.demo.planted import Batch, add_batch

    with own_home(start_servers, verbose=verbose) as home:
        story = Story(*corpus_and_recipe(home))
        story.plant("a first model, of 120 made clips of ten speakers")
        report = story.flow("flows.retrain:retrain")
        decision = report.promotion.decision
        story.ended("nothing", f"the gate: {decision}, better than chance", as_told=decision == "promoted")

        story.plant(f"a flood: {FLOOD} unlabelled clips, all of them sad, from one feed")
        add_batch(story.corpus, Batch("flood", FLOOD, seed=303, only="sad"))
        story.flow("flows.refresh:refresh")
        stopped, reason = _guard()
        story.ended(
            f"{FLOOD} unlabelled clips of one class",
            f"the guard: {reason}; nothing learnt from them",
            as_told=stopped,
        )

        story.plant(f"wrong labels: {WRONG} clips whose labels an annotator drew at random")
        add_batch(story.corpus, Batch("wrong", WRONG, seed=404, labelled=True, wrong_labels=True))
        report = story.flow("flows.retrain:retrain")
        promotion = report.promotion
        story.ended(
            f"{WRONG} labels, all wrong",
            f"the gate: {promotion.reason.partition(', one-sided')[0]}",
            as_told=promotion.decision == "rejected",
        )

        poisoned = report.model.version
        story.plant(
            f"somebody overrules the gate and promotes v{poisoned} by hand; the rollback puts it right"
        )
        said, as_told = _overruled(poisoned)
        story.ended("a promotion by hand", said, as_told=as_told)
        return story.tell("poison: what was planted, and what came of it")


def _guard() -> tuple[bool, str]:
    """Whether the last generation was stopped by a guard, and what it said."""
    from tasks.stage.workspace import workspace

    rows = workspace().catalogue.generations()
    if not rows:
        return False, "no generation was made"
    last = rows[-1]
    return last.state == "stopped", f"{last.state}, {last.reason or 'no reason given'}"


def _overruled(version: int) -> tuple[str, bool]:
    from tasks.serve.by_hand import promote_by_hand, roll_back
    from tasks.stage.workspace import workspace

    catalogue = workspace().catalogue
    before = catalogue.champion(MODEL)
    promote_by_hand(MODEL, version, "drill: the gate is overruled")
    overruled = catalogue.champion(MODEL)
    began = time.monotonic()
    back = roll_back(MODEL)
    seconds = time.monotonic() - began
    served = catalogue.champion(MODEL)
    right = before is not None and served is not None and served.version == before.version
    return (
        f"v1 -> v{overruled.version if overruled else '?'}, marked as promoted by hand -> v{back.audit.version} again "
        f"after {seconds:.1f} s; {len(catalogue.promotions(MODEL, None))} audit rows say who, when, why",
        right,
    )
