"""Scores of every system out of fold and on the holdout, and the served one against the others, pair by pair."""

from __future__ import annotations

from typing import Any

from mer.errors import ConfigError
from mer.recipes.systems import FROZEN, FUSED, LOGISTIC
from mer.report.blocks import Block, Cell, Dot, Dots, Range, Remark, Section, Table
from mer.report.figures import Figure, Form
from tasks.report.collected import Collected
from tasks.report.documents import Document
from tasks.report.run_results import DIFFERENCES, P_HOLM, P_VALUE
from tasks.serve.comparison import compare_versions

_LEAD = (
    "Out of fold: every clip is answered by a model that saw neither it nor its speaker. WAF is F1 averaged over the classes, "
    "each weighted by its clips; intervals are of 95 %, by bootstrap over whole speakers where these are known. The star marks "
    "the system that is registered."
)


def results(found: Collected) -> Section:
    """The result table, paired differences, and the holdout."""
    report = found.evaluation
    rows = range(len(report.value("systems")))
    blocks: list[Block] = [_systems(report, rows)]
    if len(rows) > 1:
        blocks.append(_dots(report, rows))
    about: list[Cell] = [
        "Chance: ",
        report.figure("chance"),
        " is the accuracy of always naming the most frequent class.",
    ]
    blocks.append(Remark(parts=tuple(about)))
    blocks += _differences(found)
    blocks += _against(found)
    return Section(name="results", title="Results", lead=_LEAD, blocks=tuple(blocks))


def system_title(name: str) -> str:
    """A system's name with what it is, where the name does not say so."""
    known = {
        LOGISTIC: "logistic regression on what is fused",
        FROZEN: "searched, frozen features alone",
        FUSED: "fusion",
    }
    return f"{name} ({known[name]})" if name in known else name


def _systems(report: Document, rows: range) -> Table:
    served = report.value("served")
    valence = any(report.has("systems", row, "valence_mse") for row in rows)
    table = []
    for row in rows:
        at = ("systems", row)
        cells: list[Any] = [
            system_title(report.value(*at, "system")),
            report.figure(*at, "accuracy"),
            _range(report, *at, name="accuracy"),
            report.figure(*at, "waf"),
            _range(report, *at, name="waf"),
            report.figure(*at, "macro_f1"),
        ]
        if valence:
            cells += [report.figure(*at, "valence_mse"), report.figure(*at, "combined_score")]
        table.append(tuple(cells))
    columns = ["system", "accuracy", "95 %", "WAF", "95 %", "macro-F1"]
    columns += ["MSE of valence", "WAF − MSE/4"] if valence else []
    return Table(
        caption="Systems, out of fold",
        columns=tuple(columns),
        rows=tuple(table),
        marked=tuple(row for row in rows if report.value("systems", row, "system") == served),
    )


def _dots(report: Document, rows: range) -> Dots:
    served = report.value("served")
    return Dots(
        title="Weighted F1 by system",
        axis="weighted F1, out of fold",
        rows=tuple(
            Dot(
                label=str(report.value("systems", row, "system")),
                point=report.figure("systems", row, "waf"),
                low=report.figure("systems", row, "waf_low"),
                high=report.figure("systems", row, "waf_high"),
                marked=report.value("systems", row, "system") == served,
            )
            for row in rows
        ),
    )


def _differences(found: Collected) -> list[Block]:
    """The served system minus the others: of all where the run kept them, else those of the evaluation."""
    kept, report = found.kept(DIFFERENCES), found.evaluation
    document, before = (kept, ()) if kept is not None else (report, ("differences",))
    count = len(document.value(*before)) if before else len(document.values)
    if not count:
        return []
    tested = all(document.has(*before, row, P_VALUE) for row in range(count))
    rows: list[tuple[Cell | Range, ...]] = []
    dots: list[Dot] = []
    for row in range(count):
        at = (*before, row)
        name = str(document.value(*at, "minus"))
        accuracy, score = (document.figure(*at, one, form="signed") for one in ("accuracy", "waf"))
        low, high = (document.figure(*at, f"waf_{end}", form="signed") for end in ("low", "high"))
        rows.append(
            (f"minus {name}", accuracy, _range(document, *at, name="accuracy", form="signed"), score,
             Range(low=low, high=high), verdict(low, high), *(_p_values(document, *at) if tested else ()))
        )  # fmt: skip
        dots.append(Dot(label=str(document.value(*at, "minus")), point=score, low=low, high=high))
    columns = ["the served system", "accuracy", "95 %", "WAF", "95 %", "by WAF it is"]
    columns += ["p", "p, Holm"] if tested else []
    zero = dots[0].point.model_copy(update={"value": 0.0})
    return [
        Table(
            caption="Paired differences on the same clips (the same speakers are drawn for both)",
            columns=tuple(columns),
            rows=tuple(rows),
        ),
        *([_about_tests(document, before, count)] if tested else []),
        Dots(
            title="The served system minus others",
            axis="difference of weighted F1",
            rows=tuple(dots),
            line=zero,
            line_label="no difference",
        ),
    ]


def _p_values(document: Document, *at: str | int) -> tuple[Figure, ...]:
    return tuple(document.figure(*at, name, form="probability") for name in (P_VALUE, P_HOLM))


def _about_tests(document: Document, before: tuple[str, ...], count: int) -> Remark:
    """How the p-values came about, and that they are several."""
    units = max(range(count), key=lambda row: float(document.value(*before, row, "exchanged")))
    parts: list[Cell] = [
        "p: paired randomisation test of WAF. Were two systems equally good, chance would say which of them gave which answers: ",
        "the answers of whole speakers (of clips, where speakers are unknown) are exchanged, and p is the share of ",
        document.figure(*before, units, "exchanges", form="count"),
        " exchanges (of up to ",
        document.figure(*before, units, "exchanged", form="count"),
        " units on which the two differ) whose difference is as large. ",
    ]
    if count > 1:
        parts.append(
            "The table asks several such questions at once: “p, Holm” is corrected for all of its rows (Holm 1979), so that at "
            "most 5 % of such tables have a wrong entry below .05; intervals are of one row each."
        )
    return Remark(parts=tuple(parts))


def verdict(low: Figure, high: Figure) -> str:
    """What an interval of a difference tells, in words."""
    if low.value is not None and low.value > 0:
        return "better"
    if high.value is not None and high.value < 0:
        return "worse"
    return "not told apart"


def _against(found: Collected) -> list[Block]:
    if found.against is None:
        return [Remark(parts=("There is no other version of this model to compare with.",))]
    name = f"{found.against.name} version {found.against.version}"
    try:
        compared = compare_versions(found.space, found.row, found.against)
    except (ConfigError, LookupError) as error:
        return [Remark(parts=(f"Not compared with {name}: {error}",))]

    def figure(value: float, score: str, field: str, form: Form = "score") -> Figure:
        return Figure(value=value, source=f"comparison?score={score}&field={field}", form=form)

    rows = []
    for row in compared.scores:
        low, high = (figure(getattr(row, end), row.name, end, "signed") for end in ("low", "high"))
        first, second = (figure(getattr(row, which), row.name, which) for which in ("first", "second"))
        difference = figure(row.difference, row.name, "difference", "signed")
        p_value = figure(row.p_value, row.name, "p_value", "probability")
        rows.append(
            (row.name, first, second, difference, Range(low=low, high=high), verdict(low, high), p_value)
        )
    groups = Figure(value=compared.groups, source="comparison?field=groups", form="count")
    clips = Figure(value=compared.clips, source="comparison?field=clips", form="count")
    return [
        Table(
            caption=f"Against {name}, on the clips that neither was trained on",
            columns=("score", "this version", name, "difference", "95 %", "this version is", "p"),
            rows=tuple(rows),
        ),
        Remark(
            parts=(
                "Paired bootstrap of ",
                groups,
                f" {compared.resampled} on ",
                clips,
                " clips. p: paired randomisation test of each score alone: WAF is the one to go by, the others are "
                "further looks at the same answers.",
            )
        ),
    ]


def _range(document: Document, *at: str | int, name: str, form: Form = "score") -> Range:
    low, high = (document.figure(*at, f"{name}_{end}", form=form) for end in ("low", "high"))
    return Range(low=low, high=high)
