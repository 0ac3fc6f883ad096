"""The report of a version as data: its summary, and every section in its order."""

from __future__ import annotations

from infra.catalogue import ModelVersionRow
from mer.report.blocks import Remark, ReportData
from tasks.report.collected import Collected
from tasks.report.sections.order import SECTIONS
from tasks.stage.workspace import Workspace


def collected(space: Workspace, row: ModelVersionRow, against: ModelVersionRow | None = None) -> Collected:
    """What there is to say of a version.

    Args:
        space: where it is.
        row: the version.
        against: held against this one; None: against the champion, or of the champion the one before.
    """
    return Collected(space, row, against or usual_opponent(space, row))


def usual_opponent(space: Workspace, row: ModelVersionRow) -> ModelVersionRow | None:
    """The champion, or of the champion the one that it followed; None: there is no other that was evaluated."""
    versions = {
        one.version: one
        for one in space.catalogue.model_versions(row.name)
        if one.evaluation is not None and one.retired_at is None and one.version != row.version
    }
    champion = space.catalogue.champion(row.name)
    if champion is not None and champion.version in versions:
        return versions[champion.version]
    followed = [
        entry.previous_version
        for entry in space.catalogue.promotions(row.name)
        if entry.version == row.version and entry.previous_version in versions
    ]
    return versions[followed[-1]] if followed and followed[-1] is not None else None


def report_data(found: Collected) -> ReportData:
    """The whole report.

    Raises:
        LookupError: the version was registered without an evaluation.
        ArtifactMissing, ArtifactCorrupt: its evaluation or its package is gone or damaged.
    """
    row = found.row
    return ReportData(
        title=f"{row.name}, version {row.version}",
        model=row.name,
        version=row.version,
        summary=_summary(found),
        sections=tuple(section(found) for section in SECTIONS),
        sources=found.sources(),
    )


def _summary(found: Collected) -> tuple[Remark, ...]:
    report = found.evaluation
    served = next(
        number
        for number, system in enumerate(report.value("systems"))
        if system["system"] == report.value("served")
    )
    at = ("systems", served)
    scored = Remark(
        parts=(
            "Weighted F1 ",
            report.figure(*at, "waf"),
            " (95 %: ",
            report.figure(*at, "waf_low"),
            " to ",
            report.figure(*at, "waf_high"),
            "), accuracy ",
            report.figure(*at, "accuracy"),
            ", out of fold on ",
            report.figure(*at, "clips", form="count"),
            " clips",
            *((" of ", report.figure(*at, "speakers", form="count"), " speakers") if report.has(*at, "speakers") else ()),
            f"; classes {', '.join(found.emotions)}.",
        )
    )  # fmt: skip
    if not report.has("holdout"):
        return (scored,)
    held = Remark(
        parts=(
            "On the holdout of ",
            report.figure("holdout", "clips", form="count"),
            " clips: weighted F1 ",
            report.figure("holdout", "waf"),
            " (95 %: ",
            report.figure("holdout", "waf_low"),
            " to ",
            report.figure("holdout", "waf_high"),
            "), accuracy ",
            report.figure("holdout", "accuracy"),
            ".",
        )
    )
    return scored, held


def tracked_metrics(report: ReportData) -> dict[str, float]:
    """Figures of the report for the tracker, by section, table, row and column; without those of single clips and speakers."""
    metrics: dict[str, float] = {}
    for section in report.sections:
        for block in section.blocks:
            if block.kind != "table" or section.name in _UNTRACKED or "speaker" in block.columns:
                continue
            for row in block.rows:
                for column, cell in zip(block.columns[1:], row[1:], strict=True):
                    value = getattr(cell, "value", None)
                    if isinstance(value, float):
                        metrics[f"report.{section.name}.{block.caption}.{row[0]}.{column}"] = value
    return metrics


_UNTRACKED = ("clips", "search", "data", "origin", "decision")
"""Sections whose figures the tracker does not get: they are of single clips, or stand in stages of their own."""
