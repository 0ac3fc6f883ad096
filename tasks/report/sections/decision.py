"""What the gate, or a person, decided on the version, and why."""

from __future__ import annotations

from mer.report.blocks import Block, Remark, Section, Table
from tasks.report.collected import Collected


def decision(found: Collected) -> Section:
    """The audit's entries of the version."""
    row = found.row
    entries = [
        entry
        for entry in found.space.catalogue.promotions(row.name, alias=None)
        if entry.version == row.version
    ]
    if not entries:
        return Section(
            name="decision",
            title="Decision",
            absent="The gate was not asked about this version: "
            f"`mer models {row.name} --promote {row.version}` decides by hand.",
        )
    champion = found.space.catalogue.champion(row.name)
    stands = "It is the champion now." if champion is not None and champion.version == row.version else (
        f"The champion is version {champion.version}." if champion is not None else "There is no champion."
    )  # fmt: skip
    blocks: list[Block] = [
        Remark(parts=(stands,)),
        Table(
            caption="Audit of this version",
            columns=("when (UTC)", "what", "by", "why"),
            rows=tuple(
                (
                    f"{entry.created_at:%Y-%m-%d %H:%M}",
                    f"{entry.alias}, {entry.action}",
                    entry.actor or "not noted",
                    entry.reason,
                )
                for entry in entries
            ),
        ),
    ]
    return Section(name="decision", title="Decision", blocks=tuple(blocks))
