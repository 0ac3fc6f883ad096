"""What is catalogued: clips, labels, equal contents to settle, quarantine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.markup import escape

from infra.catalogue import QuarantinedFile
from tasks.data.equal_contents import equal_contents
from tasks.stage.workspace import Workspace

_LISTED = 3
"""Quarantined files of one reason that have a line each."""


def corpora(space: Workspace) -> Iterator[str]:
    """Lines of each corpus."""
    for corpus in space.catalogue.corpora():
        counts = space.catalogue.counts(corpus.name)
        yield (
            f"[bold]corpus {escape(corpus.name)}[/] ({corpus.format}) {counts.clips} clips, {counts.labelled} labelled: "
            f"{escape(str(corpus.root))}"
        )
        for line in equal_contents(space.catalogue.clips_sharing_content(corpus.name)).lines():
            yield f"  {escape(line)}"
        yield from _quarantined(space.catalogue.quarantined(corpus.name), str(corpus.root))


def _quarantined(items: Sequence[QuarantinedFile], root: str) -> Iterator[str]:
    """A line for each, up to `_LISTED` of one reason; then how many more there are."""
    seen: Counter[str] = Counter()
    for item in items:
        seen[item.reason] += 1
        if seen[item.reason] <= _LISTED:
            yield f"  quarantined {escape(item.name)}: {item.reason}: {escape(item.detail)}"
    more = {reason: count - _LISTED for reason, count in seen.items() if count > _LISTED}
    if more:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(more.items()))
        yield f"  quarantined as well: {counts} (`mer check {escape(root)} --all` says more)"
