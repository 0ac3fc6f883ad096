"""Reviews outlive the catalogue: their records beside the artifacts bring them back."""

from __future__ import annotations

from pathlib import Path

import pytest
from catalogue_rows import clip, content

from infra.artifacts import ArtifactStore
from infra.catalogue import Decision, ReviewFacts
from infra.catalogue import open_database as database_at
from infra.errors import CatalogueIncomplete
from infra.objects.folder import FolderStore
from infra.objects.layout import REVIEW_RECORDS
from infra.rebuild import rebuild
from infra.records import RecordingCatalogue, require_known, write_missing


def test_reviews_come_back_from_the_store(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "objects")
    first = RecordingCatalogue(database_at(f"sqlite:///{tmp_path / 'one.db'}"), store)
    first.upsert_corpus("c", root="/corpus", format="table", emotions=("angry", "sad"))
    first.upsert_clips("c", [clip(n, split="unlabelled") for n in range(3)])
    for number in range(3):
        facts = ReviewFacts(
            key=f"k{number}", corpus="c", name=f"clip{number}", content=content(number), annotator="ann",
            decision=Decision.SEVERAL, weights={"angry": 0.7, "sad": 0.3}, shown={"model": "m"}, seconds=2.5,
        )  # fmt: skip
        first.add_review(facts)
    first.undo_review("c", "ann", "u")
    assert len(list(store.keys(REVIEW_RECORDS))) == 4
    store.delete(next(iter(sorted(store.keys(REVIEW_RECORDS)))))
    assert write_missing(first, store) == 1, (
        "what a killed process did not write is written by the next start"
    )

    second = RecordingCatalogue(database_at(f"sqlite:///{tmp_path / 'two.db'}"), store)
    with pytest.raises(CatalogueIncomplete, match="4 reviews more"):
        require_known(second, store)
    done = rebuild(second, store, ArtifactStore(store, cache=tmp_path / "cache"), "store", lambda ref: ())
    assert done.counts["reviews"] == 4
    assert second.reviews() == first.reviews()
    assert [row.name for row in second.standing_reviews("c")] == ["clip0", "clip1"]
    require_known(second, store)
