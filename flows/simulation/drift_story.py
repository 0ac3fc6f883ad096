"""`mer run --simulate-drift`: quiet nights start nothing, another recording channel does, and the gate decides what is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flows.simulation.stage import MODEL, corpus_and_recipe, own_home
from flows.simulation.story import Story

BATCH = 60


def tell_drift(start_servers: Callable[[], None], *, verbose: bool = False) -> bool:
    """Play the story; returns whether it ended as told."""
    from mer.demo import DemoConfig, generate_demo
    from mer.demo.planted import TELEPHONE, Batch, add_batch

    with own_home(start_servers, verbose=verbose) as home:
        story = Story(*corpus_and_recipe(home))
        story.plant("a first model, of 120 made clips of ten speakers")
        report = story.flow("flows.retrain:retrain")
        decision = report.promotion.decision
        story.ended("nothing", f"the gate: {decision}, better than chance", as_told=decision == "promoted")

        story.plant(f"a quiet night: {BATCH} more clips of the same kind, by other speakers")
        quiet = home / "quiet"
        generate_demo(quiet, DemoConfig(clips=BATCH, seed=101, unlabelled_share=0, test_share=0, broken=0))
        found = story.flow("flows.drift:drift", policy="start", corpus=str(quiet))
        story.ended(
            "the same channel",
            f"{found.finding}; no retraining is started",
            as_told=found.finding == "no drift",
        )

        story.plant(f"another channel: {BATCH} labelled clips by telephone, noisy, faint, in the dark")
        add_batch(story.corpus, Batch("phone", BATCH, seed=202, channel=TELEPHONE, labelled=True))
        found = story.flow("flows.drift:drift", policy="start")
        story.ended(
            "telephone band, noise, level, light",
            f"{_alarms(found.tests)} alarm; the policy starts a retraining by itself; the gate: {_gate()}",
            as_told=found.action == "start" and _gate() != "",
        )

        if story.champion() != "v1":
            story.plant("the drill: the champion of before is put back, then the one that the gate chose")
            story.ended("nothing", _drill(), as_told=True)
        return story.tell("drift: what was planted, and what came of it")


def _alarms(tests: tuple[object, ...]) -> str:
    rows = [one for one in tests if isinstance(one, Mapping) and one["alarm"]]
    families = ", ".join(dict.fromkeys(str(one["family"]) for one in rows))
    return f"{len(rows)} of {len(tests)} tests ({families})" if rows else "no test"


def _gate() -> str:
    """Decision on the newest version, in few words."""
    from tasks.stage.workspace import workspace

    catalogue = workspace().catalogue
    newest = catalogue.model_versions(MODEL)[-1].version
    said = [row.reason for row in catalogue.promotions(MODEL, None) if row.version == newest]
    return said[-1].partition(", one-sided")[0] if said and newest > 1 else ""


def _drill() -> str:
    import time

    from tasks.serve.by_hand import promote_by_hand, roll_back
    from tasks.stage.workspace import workspace

    served = workspace().catalogue.champion(MODEL)
    if served is None or served.version == 1:
        return "the first version is served: nothing to roll back to"
    began = time.monotonic()
    back = roll_back(MODEL)
    seconds = time.monotonic() - began
    promote_by_hand(MODEL, served.version, "end of the drill")
    return (
        f"v{back.audit.version} served again after {seconds:.1f} s, audited; then v{served.version} once more"
    )
