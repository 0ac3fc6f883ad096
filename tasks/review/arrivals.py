"""Reviewed labels as something that comes: what waits for new clips may start a run for them too."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from infra.catalogue import Catalogue
from infra.errors import CatalogueError
from tasks.data.arrivals import Arrivals, Source


class WithReviews:
    """A source of clips together with the decisions of reviewers on a corpus."""

    def __init__(self, source: Source, corpus: str) -> None:
        self._source, self._corpus = source, corpus

    def look(self, catalogue: Catalogue) -> Arrivals:
        """See `Source`: new contents of clips, and every decision that stands."""
        found = self._source.look(catalogue)
        try:
            standing = catalogue.standing_reviews(self._corpus)
        except CatalogueError:  # the corpus is not catalogued yet
            return found
        keys = {f"review:{hashlib.sha256(row.key.encode()).hexdigest()}" for row in standing}
        return replace(found, new=found.new | keys)
