"""What is catalogued: clips, labels, equal contents to settle, quarantine."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from tasks.data.equal_contents import equal_contents
from tasks.stage.workspace import Workspace


def corpora(space: Workspace) -> Iterator[str]:
    """Lines of each corpus."""
    for corpus in space.catalogue.corpora():
        rows = space.catalogue.clips(corpus.name)
        labelled = sum(row.emotion is not None for row in rows)
        yield (
            f"[bold]corpus {escape(corpus.name)}[/] ({corpus.format}) {len(rows)} clips, {labelled} labelled: "
            f"{escape(str(corpus.root))}"
        )
        for line in equal_contents(rows).lines():
            yield f"  {escape(line)}"
        for item in space.catalogue.quarantined(corpus.name):
            yield f"  quarantined {escape(item.name)}: {item.reason}: {escape(item.detail)}"
