"""How far the annotators of a corpus agree, and how well a person would do by the model's own measure."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from mer.report.blocks import Block, Section, Table
from mer.report.figures import Figure, Form
from mer.votes.agreement import Agreement
from tasks.data.agreement import corpus_agreement
from tasks.report.collected import Collected

_LEAD = (
    "Of the votes that the corpus has now. Krippendorff's alpha: 1 where all say the same, 0 where they agree as often as by "
    "chance. Human ceiling: one annotator's vote against what most of the others say, which no model of these labels can "
    "be expected to pass by much."
)
_ROWS: tuple[tuple[str, str, Form], ...] = (
    ("clips with votes", "clips", "count"),
    ("clips with several votes", "clips_with_several", "count"),
    ("of these unanimous", "unanimous", "count"),
    ("ties, which are unlabelled", "ties", "count"),
    ("votes", "votes", "count"),
    ("annotators", "annotators", "count"),
    ("Krippendorff's alpha, emotion", "alpha", "score"),
    ("Krippendorff's alpha, valence", "alpha_valence", "score"),
    ("human ceiling, accuracy", "ceiling_accuracy", "score"),
    ("human ceiling, weighted F1", "ceiling_waf", "score"),
)


def agreement(found: Collected) -> Section:
    """Votes, alpha and human ceiling; by annotator where they are named."""
    title = "Annotators"
    if not found.corpus or found.corpus not in {row.name for row in found.space.catalogue.corpora()}:
        return Section(name="agreement", title=title, absent="The corpus is not in the catalogue any more.")
    said = corpus_agreement(found.space, found.corpus)
    if said is None:
        absent = "Each clip has one label: agreement needs the votes of several annotators (docs/review.md)."
        return Section(name="agreement", title=title, absent=absent)
    return Section(name="agreement", title=title, lead=_LEAD, blocks=_blocks(said))


def _blocks(said: Agreement) -> tuple[Block, ...]:
    def figure(name: str, form: Form) -> Figure:
        return Figure(value=getattr(said, name), source=f"catalogue?{urlencode({'votes': name})}", form=form)

    facts = tuple((label, figure(name, form)) for label, name, form in _ROWS)
    blocks: list[Block] = [Table(caption="Votes and agreement", columns=("", "value"), rows=facts)]
    rows: list[tuple[Any, ...]] = []
    for annotator, (same, compared) in sorted(said.by_annotator.items()):
        query = {"votes_of": annotator}
        rows.append(
            (
                annotator,
                Figure(
                    value=compared,
                    source=f"catalogue?{urlencode(query | {'field': 'compared'})}",
                    form="count",
                ),
                Figure(
                    value=same / compared if compared else None,
                    source=f"catalogue?{urlencode(query | {'field': 'same'})}",
                    form="percent",
                ),
            )
        )
    if rows:
        columns = ("annotator", "votes compared", "as most of the others")
        blocks.append(Table(caption="By annotator", columns=columns, rows=tuple(rows)))
    return tuple(blocks)
