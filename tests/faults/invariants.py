"""The one checker: what must hold of a home after any fault, whatever was injected (I1 to I10 of the reliability rules).

    with within(seconds=60) as watch:           # I9: success or a typed error, no hang
        ...inject a fault, run...
    check_invariants(settings, recovered=True)  # all that can be seen in the stores
    assert served_weights(settings) == undisturbed   # I3

`check_invariants` collects every violation before it fails, so that one fault shows all that it broke.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from infra.artifacts import ArtifactStore, Manifest
from infra.catalogue import Catalogue, open_catalogue
from infra.errors import ArtifactCorrupt, ArtifactMissing, ObjectMissing
from infra.objects import ObjectStore, open_store
from infra.services.home_secrets import prefect_auth_string
from infra.settings import Settings

HELD: Counter[str] = Counter()
"""How often each invariant was checked and held in this process; the report adds them up."""

_TEMPORARY = ("*.partial", "*.tmp", "*.part", ".staging/*")


@dataclass
class _Findings:
    violations: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)

    def add(self, invariant: str, violations: Iterator[str]) -> None:
        self.checked.append(invariant)
        self.violations += [f"{invariant}: {violation}" for violation in violations]


def check_invariants(
    settings: Settings, *, recovered: bool, canaries: Sequence[str] = (), prefect_api: str | None = None
) -> None:
    """Fail with every violation of I1, I2, I4, I5, I6, I8, I10 (and I7 with a server's address) in the home of `settings`.

    Args:
        settings: of the home; its catalogue is opened, and so migrated, as any command would.
        recovered: a run has ended well after the fault, so nothing temporary may be left (I6); else only what is visible counts.
        canaries: planted secrets, which may be nowhere in the home but in files for their owner alone (I8).
        prefect_api: address of the server's API where no run of this home is alive any more (I7).
    """
    found = _Findings()
    store = open_store(settings)
    with open_catalogue(settings) as catalogue:
        artifacts = ArtifactStore(store, settings.cache_folder)
        found.add("I1", _artifacts(settings, store))
        found.add("I2", _champions(catalogue, artifacts))
        found.add("I4", _single_effects(catalogue))
        found.add("I5", _clips(catalogue))
        found.add("I10", _pseudo_labels(catalogue))
    if recovered:
        found.add("I6", _leftovers(settings))
    if canaries:
        found.add("I8", secrets_found(settings.home, canaries))
    if prefect_api is not None:
        found.add("I7", _running(settings, prefect_api))
    assert not found.violations, "\n".join(found.violations)
    HELD.update(found.checked)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """I9: the block ends, well or with an error, within twice the stated time-out `seconds`."""
    started = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - started
        assert took <= 2 * seconds, f"I9: took {took:.0f} s, stated are {seconds:.0f} s"
        HELD.update(["I9"])


def served_weights(settings: Settings, model: str | None = None) -> str:
    """sha256 over the files of the champion's artifact (of the only model, if not named), for I3."""
    with open_catalogue(settings) as catalogue:
        names = {row.name for row in catalogue.model_versions()}
        name = model or next(iter(names))
        champion = catalogue.champion(name)
        assert champion is not None, f"{name!r} has no champion"
        files = ArtifactStore(open_store(settings), settings.cache_folder).manifest(champion.artifact).files
    HELD.update(["I3"])
    return hashlib.sha256(
        json.dumps({file: entry.sha256 for file, entry in sorted(files.items())}).encode()
    ).hexdigest()


def stored_keys(settings: Settings, prefix: str) -> list[str]:
    """Keys of the objects below `prefix` in the store of `settings`, a folder or a bucket."""
    parts = urlsplit(settings.object_store_url)
    if parts.scheme == "file":
        root = Path(unquote(parts.path))
        return sorted(str(path.relative_to(root)) for path in (root / prefix).rglob("*") if path.is_file())
    from obstore.store import S3Store

    from infra.objects.s3 import S3Address

    address = S3Address.parse(settings.object_store_url)
    assert settings.s3_access_key is not None
    assert settings.s3_secret_key is not None
    bucket = S3Store(
        address.bucket,
        prefix=address.prefix or None,
        endpoint=address.endpoint,
        access_key_id=settings.s3_access_key.get_secret_value(),
        secret_access_key=settings.s3_secret_key.get_secret_value(),
        client_options={"allow_http": True},
    )
    return sorted(item["path"] for page in bucket.list(prefix) for item in page)


def _artifacts(settings: Settings, store: ObjectStore) -> Iterator[str]:
    """A manifest exists only with all of its files, each with the bytes that it lists."""
    for key in stored_keys(settings, "manifests"):
        try:
            manifest = Manifest.from_bytes(store.get(key))
        except ArtifactCorrupt as error:
            yield f"{key}: {error}"
            continue
        if key != f"manifests/{manifest.kind}/{manifest.key}.json":
            yield f"{key} says it is {manifest.kind}/{manifest.key}"
        for name, entry in manifest.files.items():
            try:
                data = store.get(f"blobs/{entry.sha256[:2]}/{entry.sha256}")
            except ObjectMissing:
                yield f"{key} lists {name!r}, whose bytes are gone"
                continue
            if hashlib.sha256(data).hexdigest() != entry.sha256 or len(data) != entry.size:
                yield f"{key} lists {name!r}, whose bytes are others"


def _champions(catalogue: Catalogue, artifacts: ArtifactStore) -> Iterator[str]:
    """`champion` is where its last audit row put it, on one version that is complete."""
    for name in sorted({row.name for row in catalogue.model_versions()}):
        versions = {row.version: row for row in catalogue.model_versions(name)}
        audit, champion = catalogue.promotions(name), catalogue.champion(name)
        if champion is None:
            if audit:
                yield f"{name!r} has an audit of its champion and no champion"
            continue
        if not audit:
            yield f"{name!r} has a champion that no audit row put there"
        elif audit[-1].version != champion.version:
            yield f"champion of {name!r} is version {champion.version}, its audit ends with {audit[-1].version}"
        at: int | None = None
        for row in audit:
            if row.previous_version != at:
                yield f"audit row {row.id} of {name!r} left {row.previous_version}, the one before reached {at}"
            at = row.version
            if row.version not in versions:
                yield f"audit row {row.id} of {name!r} names version {row.version}, which there is not"
        for ref in (champion.artifact, champion.evaluation):
            if ref is not None:
                try:
                    artifacts.verify(ref)
                except (ArtifactCorrupt, ArtifactMissing) as error:
                    yield f"champion {champion.version} of {name!r}: {error}"


def _single_effects(catalogue: Catalogue) -> Iterator[str]:
    """One version, one promotion, one generation for each thing that was made."""
    versions = Counter((row.name, row.idempotency_key) for row in catalogue.model_versions())
    yield from (f"{count} versions of {key}" for key, count in versions.items() if count > 1)
    same = Counter(
        (row.name, row.artifact.sha256, row.evaluation.sha256 if row.evaluation else "")
        for row in catalogue.model_versions()
    )
    yield from (
        f"{count} versions of one artifact and evaluation {key}" for key, count in same.items() if count > 1
    )
    for name in {row.name for row in catalogue.model_versions()}:
        numbers = sorted(row.version for row in catalogue.model_versions(name))
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"versions of {name!r} are {numbers}"
        keys = Counter(
            (row.alias, row.idempotency_key)
            for row in catalogue.promotions(name, None)
            if row.idempotency_key
        )
        yield from (f"{count} promotions of {name!r} under {key}" for key, count in keys.items() if count > 1)
    for corpus in catalogue.corpora():
        made = Counter(row.key for row in catalogue.generations(corpus.name))
        yield from (f"{count} generations {key}" for key, count in made.items() if count > 1)


def _clips(catalogue: Catalogue) -> Iterator[str]:
    """A file is accepted or quarantined, with a reason, never both."""
    for corpus in catalogue.corpora():
        accepted = {row.path for row in catalogue.clips(corpus.name)}
        set_aside = catalogue.quarantined(corpus.name)
        both = accepted & {row.path for row in set_aside}
        if both:
            yield f"{corpus.name!r}: accepted and quarantined: {sorted(map(str, both))[:5]}"
        yield from (f"{corpus.name!r}: {row.name!r} has no reason" for row in set_aside if not row.reason)


def _pseudo_labels(catalogue: Catalogue) -> Iterator[str]:
    """No clip of a split that is only scored is ever pseudo-labelled."""
    for corpus in catalogue.corpora():
        rows = {row.name: row for row in catalogue.clips(corpus.name)}
        for generation in catalogue.generations(corpus.name):
            for label in catalogue.pseudo_labels(generation.key):
                row = rows.get(label.name)
                if row is not None and row.split in ("test", "canary"):
                    yield f"{corpus.name!r}: generation {generation.key[:12]} labels {label.name!r} of split {row.split}"


def _leftovers(settings: Settings) -> Iterator[str]:
    """After a run that ended well nothing temporary is left below the home, and no stage's folder or lock."""
    for pattern in _TEMPORARY:
        yield from (f"{path} is left" for path in settings.home.rglob(pattern))
    yield from (f"{path} is left" for path in settings.checkpoint_folder.glob("*/*"))


def _running(settings: Settings, prefect_api: str) -> Iterator[str]:
    """No flow or task run is shown as running."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import StateType

    running = FlowRunFilter.model_validate({"state": {"type": {"any_": [StateType.RUNNING]}}})
    auth = prefect_auth_string(settings, prefect_api)
    with SyncPrefectClient(prefect_api, auth_string=auth and auth.get_secret_value()) as client:
        for run in client.read_flow_runs(flow_run_filter=running):
            yield f"flow run {run.name} is shown as running"


def secrets_found(folder: Path, canaries: Sequence[str]) -> Iterator[str]:
    """Files below `folder` that hold a canary, as it is or encoded, and may be read by others than their owner."""
    forms = {form: canary for canary in canaries for form in _forms(canary)}
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        if path.suffix == ".secret" and path.stat().st_mode & 0o077 == 0:
            continue
        data = path.read_bytes()
        yield from (f"{path} holds {canary!r}" for form, canary in forms.items() if form in data)


def _forms(secret: str) -> set[bytes]:
    plain = secret.encode()
    return {
        plain,
        quote(secret, safe="").encode(),
        base64.b64encode(plain).rstrip(b"=")[:-1],
        json.dumps(secret)[1:-1].encode(),
    }
