from __future__ import annotations

import hashlib
import threading

import pytest

from infra.artifacts import ArtifactRef
from infra.catalogue import Catalogue
from infra.errors import CatalogueError, LeaseLost


def ref(name: str) -> ArtifactRef:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return ArtifactRef(kind="model", key=digest, sha256=digest)


def add(catalogue: Catalogue, key: str) -> int:
    return catalogue.add_model_version(
        "demo",
        ref(key),
        evaluation=ref("evaluation"),
        metrics={"waf": 0.8, "recall": float("nan")},
        idempotency_key=key,
    )


def test_versions_by_idempotency_key(catalogue: Catalogue) -> None:
    assert [add(catalogue, key) for key in ("a", "b", "a")] == [1, 2, 1]
    row = catalogue.model_version("demo", 2)
    assert (row.artifact, row.evaluation, row.metrics) == (
        ref("b"),
        ref("evaluation"),
        {"waf": 0.8, "recall": None},
    )
    assert [r.version for r in catalogue.model_versions("demo")] == [1, 2]
    with pytest.raises(CatalogueError):
        catalogue.model_version("demo", 3)


def test_concurrent_registrations_of_one_key_make_one_version(catalogue: Catalogue) -> None:
    versions: list[int] = []
    threads = [threading.Thread(target=lambda: versions.append(add(catalogue, "same"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == [1] * 8
    assert len(catalogue.model_versions()) == 1


def test_the_champion_changes_only_with_an_audit_row(catalogue: Catalogue) -> None:
    for key in "ab":
        add(catalogue, key)
    assert catalogue.champion("demo") is None
    first = catalogue.set_alias("demo", "champion", 1, "first", evidence='{"p": 0.01}')
    assert (first.version, first.previous_version, first.action, first.evidence) == (
        1,
        None,
        "set",
        '{"p": 0.01}',
    )
    assert catalogue.set_alias("demo", "champion", 1, "again") == first
    catalogue.set_alias("demo", "champion", 2, "better")
    champion = catalogue.champion("demo")
    assert champion is not None
    assert champion.version == 2
    assert [(p.version, p.previous_version, p.champion_version) for p in catalogue.promotions("demo")] == [
        (1, None, None),
        (2, 1, 1),
    ]
    with pytest.raises(CatalogueError):
        catalogue.set_alias("demo", "champion", 7, "no such version")
    with pytest.raises(CatalogueError):
        catalogue.set_alias("unknown", "champion", 1, "no such model")
    assert len(catalogue.promotions("demo")) == 2


def test_rollback_goes_back_one_by_one(catalogue: Catalogue) -> None:
    for key in "abc":
        catalogue.set_alias("demo", "champion", add(catalogue, key), key)
    assert catalogue.rollback("demo", "worse in the field").version == 2
    assert catalogue.rollback("demo", "that one too").version == 1
    with pytest.raises(CatalogueError, match="no earlier champion"):
        catalogue.rollback("demo", "nothing left")
    champion = catalogue.champion("demo")
    assert champion is not None
    assert champion.version == 1
    catalogue.set_alias("demo", "champion", 3, "repaired")
    assert catalogue.rollback("demo", "not so").version == 1
    assert [p.action for p in catalogue.promotions("demo")] == ["set"] * 3 + ["rollback"] * 2 + [
        "set",
        "rollback",
    ]


def test_a_rerun_does_not_undo_a_rollback(catalogue: Catalogue) -> None:
    for key in "ab":
        catalogue.set_alias("demo", "champion", add(catalogue, key), key, idempotency_key=f"run-{key}")
    catalogue.rollback("demo", "worse")
    catalogue.set_alias("demo", "champion", 2, "the same run again", idempotency_key="run-b")
    champion = catalogue.champion("demo")
    assert champion is not None
    assert champion.version == 1


def test_a_writer_that_lost_its_lease_cannot_promote(catalogue: Catalogue) -> None:
    add(catalogue, "a")
    now = [0.0]
    catalogue.clock = lambda: now[0]
    late = catalogue.acquire_lease("retrain/demo", 60)
    now[0] = 61
    current = catalogue.acquire_lease("retrain/demo", 60)
    with pytest.raises(LeaseLost):
        catalogue.set_alias("demo", "champion", 1, "late", fencing_token=late.token)
    assert catalogue.champion("demo") is None
    assert catalogue.promotions("demo") == []
    row = catalogue.set_alias("demo", "champion", 1, "in time", fencing_token=current.token)
    assert row.fencing_token == current.token


def test_decisions_are_remembered_by_opponent(catalogue: Catalogue) -> None:
    for key in "abc":
        add(catalogue, key)
    catalogue.set_alias("demo", "champion", 1, "first")
    assert catalogue.decision_on("demo", 2, against=1) is None
    lost = catalogue.set_alias("demo", "challenger", 2, "2 points worse")
    assert catalogue.set_alias("demo", "challenger", 2, "asked again") == lost
    assert catalogue.decision_on("demo", 2, against=1) == "2 points worse"
    assert catalogue.challenges("demo", against=1) == [lost]
    catalogue.set_alias("demo", "champion", 3, "new champion")
    assert catalogue.decision_on("demo", 2, against=3) is None
    catalogue.set_alias("demo", "challenger", 2, "worse than 3 as well")
    assert catalogue.decision_on("demo", 2, against=3) == "worse than 3 as well"
    challenger = catalogue.aliased("demo", "challenger")
    assert challenger is not None
    assert challenger.version == 2
