"""How far a snapshot has grown beyond an earlier one, and what runs decided on it: whether models are fitted again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from infra.catalogue.database import Database
from infra.catalogue.refit_tables import Refit
from infra.catalogue.tables import Snapshot, SnapshotMember
from infra.catalogue.utc_time import utc_now

_HELD_OUT = ("test", "canary")
"""Splits whose labels nothing learns from, and everything is judged by."""


@dataclass(frozen=True, kw_only=True)
class SnapshotGrowth:
    """Counts of clips by which a snapshot differs from an earlier one."""

    clips_before: int
    labelled_before: int
    clips_new: int
    labels_new: int
    """Training clips whose gold label is new or another one."""
    changed: int
    """Gone, of another content, speaker, role, fold or transcript; held-out clips that are new or have another label."""


@dataclass(frozen=True, kw_only=True)
class RefitFacts:
    """A decision whether models are fitted again."""

    model: str
    corpus: str
    snapshot: str
    since_version: int | None
    """Version whose snapshot growth was counted from; None: there was none to count from."""
    fitted: bool
    reason: str
    run: str | None


@dataclass(frozen=True, kw_only=True)
class RefitRow(RefitFacts):
    """A stored decision."""

    id: int
    created_at: datetime


class RefitCatalogue:
    """Growth between snapshots, counted where they lie, and the decisions that followed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def growth(self, before: str, now: str) -> SnapshotGrowth | None:
        """What has come since a snapshot was taken; None: its members are not kept any more.

        Args:
            before: id of the earlier snapshot.
            now: id of the later one.
        """
        old, new = aliased(SnapshotMember), aliased(SnapshotMember)
        same = and_(old.snapshot_id == before, old.name == new.name)
        pairs = select(
            _count(old.name.is_(None)),
            _count(_other_label(old, new) & new.split.not_in(_HELD_OUT)),
            _count(_changed(old, new)),
        )
        pairs = pairs.select_from(new).outerjoin(old, same).where(new.snapshot_id == now)
        kept = and_(new.snapshot_id == now, new.name == old.name)
        gone = select(func.count()).select_from(old).outerjoin(new, kept)
        gone = gone.where(old.snapshot_id == before, new.name.is_(None))
        with self._database.writing() as connection:
            header = connection.execute(
                select(Snapshot.clip_count, Snapshot.labelled_count).where(Snapshot.id == before)
            ).one_or_none()
            if header is None:
                return None
            connection.execute(update(Snapshot).where(Snapshot.id == before).values(used_at=utc_now()))
            clips_new, labels_new, changed = connection.execute(pairs).one()
            lost = connection.scalar(gone) or 0
        return SnapshotGrowth(
            clips_before=header.clip_count,
            labelled_before=header.labelled_count,
            clips_new=int(clips_new or 0),
            labels_new=int(labels_new or 0),
            changed=int(changed or 0) + int(lost),
        )

    def note_refit(self, facts: RefitFacts) -> None:
        """Keep a decision."""
        with self._database.writing() as connection:
            connection.execute(insert(Refit).values(**asdict(facts), created_at=utc_now()))

    def refits(self, model: str, last: int | None = None) -> list[RefitRow]:
        """Decisions on a model, newest first; `last`: at most so many."""
        columns = list(Refit.__table__.columns)
        query = select(*columns).where(Refit.model == model).order_by(Refit.id.desc())
        with self._database.reading() as connection:
            rows = connection.execute(query if last is None else query.limit(last)).mappings().all()
        return [RefitRow(**row) for row in rows]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _other_label(old: type[SnapshotMember], new: type[SnapshotMember]) -> ColumnElement[bool]:
    """A label that is new or was changed; of clips that there were also one that was taken away."""
    of_new = and_(old.name.is_(None), new.emotion.is_not(None))
    differs = or_(new.emotion.is_distinct_from(old.emotion), new.valence.is_distinct_from(old.valence))
    return or_(of_new, and_(old.name.is_not(None), differs))


def _changed(old: type[SnapshotMember], new: type[SnapshotMember]) -> ColumnElement[bool]:
    held_out = new.split.in_(_HELD_OUT)
    other = or_(
        new.content != old.content,
        new.speaker.is_distinct_from(old.speaker),
        new.part.is_distinct_from(old.part),
        and_(
            old.emotion.is_not(None), new.fold.is_distinct_from(old.fold)
        ),  # with its first label a clip gets its fold
        new.transcript.is_distinct_from(old.transcript),
        and_(new.split != old.split, or_(held_out, old.split.in_(_HELD_OUT))),
        and_(held_out, _other_label(old, new)),
    )
    return or_(and_(old.name.is_not(None), other), and_(old.name.is_(None), held_out))
