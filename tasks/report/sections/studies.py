"""Studies of `mer search` around the version's recipe on its corpus: how they went, what was best, which options mattered."""

from __future__ import annotations

import math

from mer.report.blocks import Bars, Block, Cell, Lines, Remark, Series, Table
from tasks.report.collected import Collected
from tasks.report.documents import Document

MOST_STUDIES, MOST_TRIALS, MOST_OPTIONS, SHOWN_OPTIONS = 3, 10, 12, 5


def study_blocks(found: Collected) -> list[Block]:
    """Blocks of every study, the newest first; none where nothing was searched for."""
    studies = found.studies
    blocks = [block for study in studies[:MOST_STUDIES] for block in _study(found, study)]
    if len(studies) > MOST_STUDIES:
        blocks.append(Remark(parts=(f"There are {len(studies) - MOST_STUDIES} earlier studies.",)))
    return blocks


def _study(found: Collected, study: Document) -> list[Block]:
    trials, best = study.value("trials"), study.value("best")
    name = str(study.value("study"))
    took = study.value("best_recipe") == found.package.recipe.model_dump(mode="json")
    same = study.value("membership") == found.row.snapshot_id
    parts: list[Cell] = [
        f"Study {name}: ",
        study.figure("finished", form="count"),
        " trials; the best has WAF ",
        study.figure("trials", best, "waf"),
        " on the validation speakers of the folds",
        *(
            (", ", study.figure("trials", best, "again"), " with fresh seeds")
            if trials[best]["again"]
            else ()
        ),
        ". A choice, not a test score. ",
        "This version has its options. " if took else "This version has other options. ",
        "" if same else "It searched on other clips or labels than those that this version learnt.",
    ]
    chosen = trials[best]["options"]
    options = _options(study)
    listed = ", ".join(f"{option} {chosen[option]}" for option in options if option in chosen)
    blocks: list[Block] = [
        Remark(parts=tuple(parts)),
        _history(study, name),
        _best(study, name, options),
        Remark(parts=(f"All options of trial {trials[best]['number']}: {listed}.",)),
    ]
    if names := sorted(study.names("importance"), key=lambda one: -study.value("importance", one)):
        blocks.append(_importance(study, name, names[:MOST_OPTIONS]))
    return blocks


def _history(study: Document, name: str) -> Lines:
    """Score by trial: all of them, and the best so far of those trained to their end."""
    trials = study.value("trials")
    numbers = tuple(float(trial["number"]) for trial in trials)
    best: list[int] = []
    for place, trial in enumerate(trials):
        better = trial["ended"] and (not best or trial["waf"] > trials[best[-1]]["waf"])
        best += [place if better else best[-1]] if better or best else []
    late = len(trials) - len(best)
    return Lines(
        title=f"Study {name}: score by trial",
        x_label="trial",
        y_label="WAF, validation",
        series=(
            Series(
                name="trial (at its last epoch)",
                x=numbers,
                y=tuple(study.figure("trials", place, "waf") for place in range(len(trials))),
            ),
            Series(
                name="best so far",
                x=numbers[late:],
                y=tuple(study.figure("trials", place, "waf") for place in best),
            ),
        ),
    )


def _best(study: Document, name: str, options: list[str]) -> Table:
    trials = study.value("trials")
    order = sorted(range(len(trials)), key=lambda place: (not trials[place]["ended"], -trials[place]["waf"]))
    shown = order[:MOST_TRIALS]
    shown += [place for place in order[MOST_TRIALS:] if trials[place]["recipe_itself"]]
    rows = tuple(
        (
            f"{trials[place]['number']}"
            + (", the recipe itself" if trials[place]["recipe_itself"] else "")
            + ("" if trials[place]["ended"] else ", given up early"),
            study.figure("trials", place, "waf"),
            study.figure("trials", place, "again") if trials[place]["again"] is not None else "",
            *(_option(study, place, option) for option in options[:SHOWN_OPTIONS]),
        )
        for place in shown
    )
    return Table(
        caption=f"Best trials of study {name}",
        columns=("trial", "WAF", "fresh seeds", *options[:SHOWN_OPTIONS]),
        rows=rows,
        marked=tuple(row for row, place in enumerate(shown) if place == study.value("best")),
        omitted=len(trials) - len(shown),
    )


def _option(study: Document, place: int, option: str) -> Cell:
    """What a trial had: a number names its source as any other does."""
    text = str(study.value("trials", place, "options").get(option, ""))
    try:
        finite = math.isfinite(float(text))
    except ValueError:
        finite = False
    return study.figure("trials", place, "options", option, form="number") if finite else text


def _options(study: Document) -> list[str]:
    """Options of the trials, those that mattered most first."""
    named = dict.fromkeys(option for trial in study.value("trials") for option in trial["options"])
    importance = study.value("importance")
    return sorted(named, key=lambda option: (-importance.get(option, 0.0), option))


def _importance(study: Document, name: str, options: list[str]) -> Bars:
    return Bars(
        title=f"Study {name}: which options mattered",
        axis="share of the variance between trials",
        series=("share",),
        groups=tuple(options),
        values=tuple((study.figure("importance", option),) for option in options),
    )
