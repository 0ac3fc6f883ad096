"""How far a snapshot has grown, counted in the database, and the decisions that are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from catalogue_rows import clip, content

from infra.catalogue import Catalogue, ClipRow, RefitFacts, SnapshotGrowth


@pytest.fixture
def rows(catalogue: Catalogue) -> list[ClipRow]:
    """Twenty clips: 1 to 9 labelled, 18 in the test part, 19 a canary."""
    catalogue.upsert_corpus("c", root=Path("/corpus"), format="table", emotions=("neutral", "angry"))
    parts = {18: "test", 19: "canary"}
    catalogue.upsert_clips("c", [clip(n, split=parts.get(n, "train")) for n in range(20)])
    catalogue.set_gold_labels(
        "c", [(f"clip{n}", "angry" if n < 10 else None, 1.0 if n < 10 else None) for n in range(20)]
    )
    return catalogue.clips("c")


def grown(catalogue: Catalogue, before: list[ClipRow], now: list[ClipRow]) -> SnapshotGrowth:
    ids = [catalogue.snapshot("c", members).id for members in (before, now)]
    found = catalogue.growth(*ids)
    assert found is not None
    return found


def named(rows: list[ClipRow], number: int, **changed: object) -> list[ClipRow]:
    return [replace(row, **changed) if row.name == f"clip{number}" else row for row in rows]  # type: ignore[arg-type]


def test_nothing_new(catalogue: Catalogue, rows: list[ClipRow]) -> None:
    assert grown(catalogue, rows, rows) == SnapshotGrowth(
        clips_before=20, labelled_before=10, clips_new=0, labels_new=0, changed=0
    )


def test_new_clips_and_new_labels_are_counted_apart(catalogue: Catalogue, rows: list[ClipRow]) -> None:
    new = [
        replace(rows[0], name="new", content=content(77), emotion="neutral"),
        replace(rows[0], name="silent", content=content(78), emotion=None, valence=None),
    ]
    now = named(named(named(rows, 12, emotion="angry"), 3, emotion="neutral"), 4, valence=2.0)
    found = grown(catalogue, rows, [*now, *new])
    assert (found.clips_new, found.labels_new, found.changed) == (2, 4, 0)


@pytest.mark.parametrize(
    "changed", [{"content": content(99)}, {"speaker": None}, {"transcript": "other"}, {"fold": None}, {"split": "test"}]
)  # fmt: skip
def test_another_clip_under_a_name_is_a_change(
    catalogue: Catalogue, rows: list[ClipRow], changed: dict[str, object]
) -> None:
    assert grown(catalogue, rows, named(rows, 5, **changed)).changed == 1


def test_what_is_gone_is_a_change_and_so_is_anything_held_out(
    catalogue: Catalogue, rows: list[ClipRow]
) -> None:
    assert grown(catalogue, rows, rows[:-2]).changed == 2
    assert grown(catalogue, rows, named(rows, 18, emotion="angry")).changed == 1
    held_out = replace(rows[0], name="new", content=content(77), split="test", emotion="angry")
    found = grown(catalogue, rows, [*rows, held_out])
    assert (found.clips_new, found.labels_new, found.changed) == (1, 0, 1)


def test_a_snapshot_that_is_not_kept_tells_nothing(catalogue: Catalogue, rows: list[ClipRow]) -> None:
    assert catalogue.growth("0" * 64, catalogue.snapshot("c", rows).id) is None


def test_decisions_are_kept_newest_first(catalogue: Catalogue) -> None:
    facts = RefitFacts(
        model="m", corpus="c", snapshot="s", since_version=None, fitted=True, reason="first", run=None
    )
    for one in (facts, replace(facts, reason="second", fitted=False, since_version=1, run="a run"),
                replace(facts, model="other")):  # fmt: skip
        catalogue.note_refit(one)
    assert [row.reason for row in catalogue.refits("m")] == ["second", "first"]
    (last,) = catalogue.refits("m", last=1)
    assert (last.fitted, last.since_version, last.run) == (False, 1, "a run")
