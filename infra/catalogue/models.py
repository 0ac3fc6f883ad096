"""Model versions, their aliases, and the audit of every change of an alias, written in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from infra.artifacts import ArtifactRef
from infra.catalogue.actor import actor
from infra.catalogue.bulk import upsert
from infra.catalogue.database import Database
from infra.catalogue.leases import require_current
from infra.catalogue.tables import Model, ModelAlias, ModelVersion, Promotion
from infra.catalogue.utc_time import utc_now
from infra.errors import CatalogueError

CHAMPION = "champion"
CHALLENGER = "challenger"


@dataclass(frozen=True, kw_only=True)
class ModelVersionRow:
    """A complete model."""

    name: str
    version: int
    artifact: ArtifactRef
    evaluation: ArtifactRef | None
    """Its evaluation, for later comparison with challengers."""
    snapshot_id: str | None
    metrics: dict[str, Any]
    idempotency_key: str
    registration: int | None
    """Grows over all models."""
    created_at: datetime
    retired_at: datetime | None = None
    """When its artifacts were given up to retention; None: they are kept."""
    origin: dict[str, str] | None = None
    """Commit, run, recipe and corpus that it comes from; None: it was registered before that was noted."""


@dataclass(frozen=True, kw_only=True)
class PromotionRow:
    """One change of an alias."""

    id: int
    name: str
    alias: str
    version: int
    previous_version: int | None
    champion_version: int | None
    """Champion at that moment, before the change."""
    action: str
    """`set`, `rollback` or `approved`; of approvals `waiting`, `refused` or `expired`."""
    reason: str
    evidence: str | None
    """What the decision rested on (JSON text)."""
    fencing_token: int | None
    idempotency_key: str | None
    created_at: datetime
    actor: str | None = None
    """Who decided; None: decided before that was noted."""
    expires_at: datetime | None = None
    """Of a version that waits for approval: until when."""


class ModelCatalogue:
    """The authority on which version is champion (MLflow's registry is a mirror of it)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_model_version(
        self,
        name: str,
        artifact: ArtifactRef,
        *,
        evaluation: ArtifactRef | None = None,
        snapshot: str | None = None,
        metrics: Mapping[str, Any],
        idempotency_key: str,
        origin: Mapping[str, str] | None = None,
    ) -> int:
        """Register a model; returns its version (1, 2, ...). The same key gives the same version, of the origin it had first."""
        with self._database.writing() as connection:
            latest = lock_model(connection, name, create=True)
            same = (ModelVersion.name == name) & (ModelVersion.idempotency_key == idempotency_key)
            existing = connection.execute(
                select(ModelVersion.version, ModelVersion.retired_at).where(same)
            ).first()
            if existing is not None:
                if existing.retired_at is not None:  # it was made again
                    values = {
                        "retired_at": None,
                        "artifact": artifact.model_dump(),
                        "evaluation": None if evaluation is None else evaluation.model_dump(),
                        "snapshot_id": snapshot,
                    }
                    connection.execute(update(ModelVersion).where(same).values(values))
                return int(existing.version)
            connection.execute(update(Model).where(Model.name == name).values(latest_version=latest + 1))
            registered = connection.scalar(select(func.max(ModelVersion.registration))) or 0
            connection.execute(
                insert(ModelVersion).values(
                    name=name,
                    version=latest + 1,
                    artifact=artifact.model_dump(),
                    evaluation=None if evaluation is None else evaluation.model_dump(),
                    snapshot_id=snapshot,
                    metrics=dict(metrics),
                    idempotency_key=idempotency_key,
                    registration=registered + 1,
                    origin=None if origin is None else dict(origin),
                    created_at=utc_now(),
                )
            )
        return latest + 1

    def set_alias(
        self,
        name: str,
        alias: str,
        version: int,
        reason: str,
        *,
        evidence: str | None = None,
        fencing_token: int | None = None,
        idempotency_key: str | None = None,
    ) -> PromotionRow:
        """Point `alias` at `version` and write the audit row with it.

        Pointing it where it points already, or again with a known `idempotency_key` (even after a rollback),
        changes nothing and returns the audit row there is.

        Raises:
            CatalogueError: no such version.
            LeaseLost: `fencing_token` is not the newest of its lease.
        """
        with self._database.writing() as connection:
            lock_model(connection, name)
            if fencing_token is not None:
                require_current(connection, fencing_token)
            audit = audit_of(connection, name, alias)
            done = [
                row for row in audit if idempotency_key is not None and row.idempotency_key == idempotency_key
            ]
            if done:
                return done[-1]
            champion = aliased_version(connection, name, CHAMPION)
            last = audit[-1] if audit else None
            # A challenger that lost against another champion than today's is a new decision.
            if last and last.version == version and (alias == CHAMPION or last.champion_version == champion):
                return last
            entry = {
                "version": version,
                "previous_version": last.version if last else None,
                "champion_version": champion,
                "action": "set",
                "reason": reason,
                "evidence": evidence,
                "fencing_token": fencing_token,
                "idempotency_key": idempotency_key,
            }
            return move_alias(connection, name, alias, entry)

    def rollback_version(self, name: str, *, alias: str = CHAMPION) -> int:
        """The version that a rollback would go to. Raises CatalogueError if there is none."""
        with self._database.reading() as connection:
            return _earlier(connection, name, alias)[-2]

    def rollback(
        self, name: str, reason: str, *, alias: str = CHAMPION, expected: int | None = None
    ) -> PromotionRow:
        """Point `alias` back to what it was before; a second rollback goes one further back.

        Args:
            name: of the model.
            reason: for the audit.
            alias: which alias.
            expected: the version to go back to, where it was looked at before; None: whichever it is.

        Raises:
            CatalogueError: there is nothing to go back to, or somebody else has moved the alias since `expected` was read.
        """
        with self._database.writing() as connection:
            lock_model(connection, name)
            history = _earlier(connection, name, alias)
            if expected not in (None, history[-2]):
                raise CatalogueError(
                    f"{alias} of {name!r} was moved by somebody else just now: expected to go back to version {expected}, "
                    f"found {history[-2]}; run it again"
                )
            entry = {
                "version": history[-2],
                "previous_version": history[-1],
                "champion_version": aliased_version(connection, name, CHAMPION),
                "action": "rollback",
                "reason": reason,
                "evidence": None,
                "fencing_token": None,
                "idempotency_key": None,
            }
            return move_alias(connection, name, alias, entry)

    def aliased(self, name: str, alias: str) -> ModelVersionRow | None:
        """The version an alias points at."""
        same = (ModelAlias.name == ModelVersion.name) & (ModelAlias.version == ModelVersion.version)
        query = select(ModelVersion.__table__).join(ModelAlias, same)
        with self._database.reading() as connection:
            row = connection.execute(query.where(ModelAlias.name == name, ModelAlias.alias == alias)).first()
        return None if row is None else _version(row)

    def aliases(self) -> dict[str, dict[str, int]]:
        """Model -> alias -> version, of all models that have any."""
        aliases: dict[str, dict[str, int]] = {}
        with self._database.reading() as connection:
            for name, alias, version in connection.execute(
                select(ModelAlias.name, ModelAlias.alias, ModelAlias.version)
            ):
                aliases.setdefault(name, {})[alias] = version
        return aliases

    def champion(self, name: str) -> ModelVersionRow | None:
        """The version in use."""
        return self.aliased(name, CHAMPION)

    def decision_on(self, name: str, version: int, *, against: int | None) -> str | None:
        """Why `version` stayed challenger against champion `against`, if that was decided before."""
        with self._database.reading() as connection:
            audit = audit_of(connection, name, CHALLENGER)
        lost = [row.reason for row in audit if (row.version, row.champion_version) == (version, against)]
        return lost[-1] if lost else None

    def challenges(self, name: str, *, against: int) -> list[PromotionRow]:
        """Decisions by which versions stayed challengers of champion `against`, oldest first, the last one of each version."""
        with self._database.reading() as connection:
            audit = audit_of(connection, name, CHALLENGER)
        last = {row.version: row for row in audit if row.champion_version == against}
        return sorted(last.values(), key=audit.index)

    def model_version(self, name: str, version: int) -> ModelVersionRow:
        """One version. Raises CatalogueError if there is none."""
        query = select(ModelVersion.__table__).where(
            ModelVersion.name == name, ModelVersion.version == version
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise CatalogueError(f"no version {version} of model {name!r}")
        return _version(row)

    def model_versions(self, name: str | None = None) -> list[ModelVersionRow]:
        """Versions (of one model), by name and number."""
        query = select(ModelVersion.__table__).order_by(ModelVersion.name, ModelVersion.version)
        with self._database.reading() as connection:
            rows = connection.execute(query if name is None else query.where(ModelVersion.name == name)).all()
        return [_version(row) for row in rows]

    def promotions(self, name: str, alias: str | None = CHAMPION) -> list[PromotionRow]:
        """Audit of an alias (None: of all), oldest first."""
        with self._database.reading() as connection:
            return audit_of(connection, name, alias)


def lock_model(connection: Connection, name: str, *, create: bool = False) -> int:
    """Lock the line of versions until the end of the transaction; returns the latest version."""
    if create:
        upsert(connection, Model, [{"name": name, "latest_version": 0}], update=False)
    latest = connection.scalar(select(Model.latest_version).where(Model.name == name).with_for_update())
    if latest is None:
        raise CatalogueError(f"no model {name!r} in the catalogue")
    return latest


def audit_of(connection: Connection, name: str, alias: str | None) -> list[PromotionRow]:
    """Changes of an alias (None: of all), oldest first."""
    query = select(Promotion.__table__).where(Promotion.name == name).order_by(Promotion.id)
    if alias is not None:
        query = query.where(Promotion.alias == alias)
    return [PromotionRow(**row) for row in connection.execute(query).mappings()]


def move_alias(connection: Connection, name: str, alias: str, entry: Mapping[str, Any]) -> PromotionRow:
    """Point an alias at the version of `entry`, a row of the audit. Raises CatalogueError: no such version, or given up."""
    version = entry["version"]
    same = select(ModelVersion.retired_at).where(ModelVersion.name == name, ModelVersion.version == version)
    known = connection.execute(same).first()
    if known is None:
        raise CatalogueError(f"no version {version} of model {name!r}: alias {alias!r} stays where it is")
    if known.retired_at is not None:
        raise CatalogueError(
            f"version {version} of model {name!r} was given up to retention on {known.retired_at:%Y-%m-%d} "
            f"(MER_RETENTION_VERSIONS says how many champions are kept): alias {alias!r} stays; choose a later version"
        )
    upsert(connection, ModelAlias, [{"name": name, "alias": alias, "version": version}])
    statement = insert(Promotion).values(name=name, alias=alias, actor=actor(), created_at=utc_now(), **entry)
    number = connection.execute(statement.returning(Promotion.id)).scalar_one()
    row = connection.execute(select(Promotion.__table__).where(Promotion.id == number)).mappings().one()
    return PromotionRow(**row)


def aliased_version(connection: Connection, name: str, alias: str) -> int | None:
    """The version an alias points at."""
    same = (ModelAlias.name == name) & (ModelAlias.alias == alias)
    return connection.scalar(select(ModelAlias.version).where(same))


def _earlier(connection: Connection, name: str, alias: str) -> list[int]:
    """Versions the alias came through; at least two. Raises CatalogueError."""
    history = champion_history(audit_of(connection, name, alias))
    if len(history) < 2:
        raise CatalogueError(f"{name!r} has no earlier {alias} to go back to")
    return history


def champion_history(audit: Sequence[PromotionRow]) -> list[int]:
    """Versions the alias came through, the present one last, with what was rolled back taken out."""
    history: list[int] = []
    for row in audit:
        if row.action == "rollback":
            history.pop()
        else:
            history.append(row.version)
    return history


def _version(row: Row[Any]) -> ModelVersionRow:
    values = dict(row._mapping)
    evaluation = values["evaluation"]
    values["artifact"] = ArtifactRef.model_validate(values["artifact"])
    values["evaluation"] = None if evaluation is None else ArtifactRef.model_validate(evaluation)
    return ModelVersionRow(**values)
