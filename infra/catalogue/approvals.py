"""Versions that passed the gate and wait for a person: asked, answered once, in one transaction with the audit.

Rows of the audit with the alias `approval` say what was asked and answered; no alias of that name points anywhere. The last of
them for a version is where it stands; a version that was approved is champion by a row that names the one that asked. What was
refused, or not answered in time, is not approved any more: only another evaluation asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select

from infra.catalogue.actor import actor
from infra.catalogue.database import Database
from infra.catalogue.leases import require_current
from infra.catalogue.models import (
    CHAMPION,
    ModelCatalogue,
    PromotionRow,
    aliased_version,
    audit_of,
    lock_model,
    move_alias,
)
from infra.catalogue.tables import Promotion
from infra.catalogue.utc_time import utc_now
from infra.errors import CatalogueError

APPROVAL = "approval"
WAITING, APPROVED, REFUSED, EXPIRED = "waiting", "approved", "refused", "expired"


class ApprovalCatalogue(ModelCatalogue):
    """Who may become champion, as people decide it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    def request_approval(
        self,
        name: str,
        version: int,
        reason: str,
        evidence: str | None,
        hours: float,
        fencing_token: int | None = None,
    ) -> PromotionRow:
        """Let a version wait for a person, against today's champion; asked again it gives the row there is.

        Raises:
            CatalogueError: no such model.
            LeaseLost: `fencing_token` is not the newest of its lease.
        """
        with self._database.writing() as connection:
            lock_model(connection, name)
            if fencing_token is not None:
                require_current(connection, fencing_token)
            champion = aliased_version(connection, name, CHAMPION)
            asked = _asked(audit_of(connection, name, APPROVAL), version)
            if asked is not None and asked.champion_version == champion:
                return asked
            return _add(
                connection,
                name=name,
                version=version,
                champion_version=champion,
                action=WAITING,
                reason=reason,
                evidence=evidence,
                fencing_token=fencing_token,
                expires_at=utc_now() + timedelta(hours=hours),
            )

    def approval(self, name: str, version: int) -> PromotionRow | None:
        """Where a version stands: the last row about its approval (`approved`: the champion's); None: nobody was asked."""
        with self._database.reading() as connection:
            audit = audit_of(connection, name, None)
        return _standing(audit, version)

    def approvals_waiting(self, name: str | None = None) -> list[PromotionRow]:
        """Versions (of one model) that wait for a person, oldest first; those whose time is over too."""
        query = select(Promotion.name, Promotion.version).where(Promotion.alias == APPROVAL).distinct()
        if name is not None:
            query = query.where(Promotion.name == name)
        with self._database.reading() as connection:
            asked = connection.execute(query).all()
            standing = [_standing(audit_of(connection, row.name, None), row.version) for row in asked]
        rows = [row for row in standing if row is not None and row.action == WAITING]
        return sorted(rows, key=lambda row: row.id)

    def approve(self, name: str, version: int, reason: str) -> PromotionRow:
        """Make a waiting version the champion; approved twice it is what it was: the first one's row.

        Raises:
            CatalogueError: it does not wait: nobody was asked, it was refused or its time is over, or another champion came.
        """
        self.expire_approvals(name)
        with self._database.writing() as connection:
            lock_model(connection, name)
            audit = audit_of(connection, name, None)
            standing = _standing(audit, version)
            if standing is not None and standing.action == APPROVED:
                return standing
            waiting = _require_waiting(standing, name, version)
            champion = aliased_version(connection, name, CHAMPION)
            if champion != waiting.champion_version:
                raise CatalogueError(
                    f"version {version} of {name} was compared with {_called(waiting.champion_version)}, and since then "
                    f"{_called(champion)} is served: the evidence is about another one, and the next run compares anew"
                )
            served = [row for row in audit if row.alias == CHAMPION]
            entry = {
                "version": version,
                "previous_version": served[-1].version if served else None,
                "champion_version": champion,
                "action": APPROVED,
                "reason": f"approved{f': {reason}' if reason else ''}; {waiting.reason}",
                "evidence": waiting.evidence,
                "fencing_token": None,
                "idempotency_key": _key(waiting),
            }
            return move_alias(connection, name, CHAMPION, entry)

    def refuse(self, name: str, version: int, reason: str) -> PromotionRow:
        """Say no to a waiting version; said twice it is the first row.

        Raises:
            CatalogueError: it does not wait.
        """
        self.expire_approvals(name)
        with self._database.writing() as connection:
            lock_model(connection, name)
            standing = _standing(audit_of(connection, name, None), version)
            if standing is not None and standing.action == REFUSED:
                return standing
            return _answered(connection, _require_waiting(standing, name, version), REFUSED, reason)

    def expire_approvals(self, name: str | None = None, now: datetime | None = None) -> list[PromotionRow]:
        """Note of every version whose time to be approved is over that it was not; returns these notes."""
        now = now or utc_now()
        over = [
            row
            for row in self.approvals_waiting(name)
            if row.expires_at is not None and row.expires_at <= now
        ]
        noted = []
        for row in over:
            with self._database.writing() as connection:
                lock_model(connection, row.name)
                standing = _standing(audit_of(connection, row.name, None), row.version)
                if standing is not None and standing.id == row.id:  # nobody was faster
                    said = f"nobody decided until {row.expires_at:%Y-%m-%d %H:%M} UTC: not promoted"
                    noted.append(_answered(connection, row, EXPIRED, said, "the time limit"))
        return noted


def _require_waiting(standing: PromotionRow | None, name: str, version: int) -> PromotionRow:
    if standing is not None and standing.action == WAITING:
        return standing
    which = f"version {version} of {name}"
    if standing is None:
        raise CatalogueError(
            f"{which} waits for no approval: expected one that the gate let pass under `approval: required`; `mer models {name}` "
            "lists them"
        )
    when = f"{standing.created_at:%Y-%m-%d %H:%M} UTC"
    if standing.action == APPROVED:
        raise CatalogueError(
            f"{which} was approved on {when} by {standing.actor}: `mer models {name} --rollback` takes it back"
        )
    if standing.action == REFUSED:
        raise CatalogueError(
            f"{which} was refused on {when} by {standing.actor} ({standing.reason}): only another evaluation, of another version "
            "or against another champion, asks again"
        )
    raise CatalogueError(
        f"{which}: {standing.reason}; `mer models {name} --promote {version}` makes it champion by hand all the same"
    )


def _standing(audit: Sequence[PromotionRow], version: int) -> PromotionRow | None:
    asked = _asked(audit, version)
    if asked is None or asked.action != WAITING:
        return asked
    approved = [row for row in audit if row.idempotency_key == _key(asked)]
    return approved[0] if approved else asked


def _asked(audit: Sequence[PromotionRow], version: int) -> PromotionRow | None:
    rows = [row for row in audit if row.alias == APPROVAL and row.version == version]
    return rows[-1] if rows else None


def _answered(
    connection: Connection, waiting: PromotionRow, action: str, reason: str, who: str | None = None
) -> PromotionRow:
    return _add(
        connection,
        name=waiting.name,
        version=waiting.version,
        champion_version=waiting.champion_version,
        action=action,
        reason=reason or "no reason was given",
        evidence=waiting.evidence,
        actor=who or actor(),
        idempotency_key=_key(waiting),
    )


def _add(connection: Connection, **values: object) -> PromotionRow:
    entry = {"alias": APPROVAL, "actor": actor(), "created_at": utc_now(), **values}
    number = connection.execute(insert(Promotion).values(entry).returning(Promotion.id)).scalar_one()
    row = connection.execute(select(Promotion.__table__).where(Promotion.id == number)).mappings().one()
    return PromotionRow(**row)


def _key(waiting: PromotionRow) -> str:
    return f"approval/{waiting.id}"


def _called(version: int | None) -> str:
    return "no champion" if version is None else f"version {version}"
