"""Artifacts: results of stages, visible exactly when their manifest exists, verified by sha256 on read.

Files lie content-addressed in `blobs/<aa>/<sha256>`; the manifest `manifests/<kind>/<key>.json` lists them
and is created last, conditionally: of two writers of one key the first wins and the second adopts its result.
The manifest holds no time or host, so equal results have equal references.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import ArtifactCorrupt, ArtifactMissing, ObjectMissing
from infra.locking import locked
from infra.objects.interface import CHUNK_BYTES, ObjectStore, check_key
from infra.whole_files import swept, write_whole

Scalar = bool | int | float | str | None
"""What artifact metadata may hold."""

PARTIAL_TTL_SECONDS = 3600.0
"""A half-fetched file this old belongs to a dead process."""

COPIES_LOCK = ".lock"
"""File of the cache whose lock keeps readers and the clean-up of copies apart."""

_HEX_64 = r"^[0-9a-f]{64}$"


class ArtifactRef(BaseModel):
    """Small reference to an artifact; what crosses task borders instead of tensors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(description="Kind of stage result, e.g. `features` or `fusion`.")
    key: str = Field(description="Stage key: sha256 (hex) over inputs, configuration and code version.")
    sha256: str = Field(pattern=_HEX_64, description="sha256 (hex) of the manifest.")
    meta: dict[str, Scalar] = Field(default_factory=dict, description="Small facts about the result.")

    def __hash__(self) -> int:
        return hash((self.kind, self.key, self.sha256))


class ManifestFile(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern=_HEX_64, description="sha256 (hex) of the content.")
    size: int = Field(ge=0, description="Size in bytes.")


class Manifest(BaseModel):
    """What an artifact consists of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(default=1, ge=1, le=1, description="Version of this layout.")
    kind: str = Field(description="Kind, as in the reference.")
    key: str = Field(description="Stage key, as in the reference.")
    files: dict[str, ManifestFile] = Field(description="Files by name.")
    meta: dict[str, Scalar] = Field(description="Small facts about the result.")

    def to_bytes(self) -> bytes:
        """Canonical JSON with a checksum of itself. Raises ValueError for NaN or infinity in `meta`."""
        content = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        checksum = hashlib.sha256(content.encode()).hexdigest()
        return f'{{"checksum":"{checksum}","manifest":{content}}}\n'.encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read what `to_bytes` wrote. Raises ArtifactCorrupt if a single byte differs."""
        try:
            manifest = cls.model_validate(json.loads(data)["manifest"])
            intact = manifest.to_bytes() == data
        except (ValidationError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise ArtifactCorrupt(f"not a manifest: {error}") from error
        if not intact:
            raise ArtifactCorrupt("a manifest that does not match its own checksum")
        return manifest


class ArtifactStore:
    """Commits, finds, verifies and fetches artifacts in an object store."""

    def __init__(self, objects: ObjectStore, cache: Path) -> None:
        """`cache`: local folder for verified copies, e.g. `settings.cache_folder`."""
        self._objects = objects
        self._cache = cache
        _sweep_partials(cache)

    def commit(
        self, kind: str, key: str, files: Mapping[str, bytes | Path], meta: Mapping[str, Scalar] | None = None
    ) -> ArtifactRef:
        """Store `files` and make them visible as (kind, key); if that exists already, adopt it.

        Raises:
            InvalidKey: kind, key or a file name is not plain.
            StoreFull, StoreUnavailable: nothing became visible.
        """
        manifest_object = manifest_key(kind, key)
        if (existing := self.lookup(kind, key)) is not None:
            return existing
        listed: dict[str, ManifestFile] = {}
        for name, data in sorted(files.items()):
            check_key(name)
            listed[name] = ManifestFile(sha256=_sha256(data), size=_size(data))
            # Unconditionally: rewriting equal content is harmless, and it heals a blob that was damaged.
            self._objects.put(blob_key(listed[name].sha256), data)
        manifest = Manifest(kind=kind, key=key, files=listed, meta=dict(meta or {})).to_bytes()
        if self._objects.put(manifest_object, manifest, if_absent=True):
            return _reference(manifest)
        if (existing := self.lookup(kind, key)) is not None:
            return existing
        self._objects.put(
            manifest_object, manifest
        )  # what is there is no manifest: a damaged one must not block the key
        return _reference(manifest)

    @property
    def objects(self) -> ObjectStore:
        """Where everything lies."""
        return self._objects

    def complete(self, ref: ArtifactRef, files: Mapping[str, bytes | Path]) -> None:
        """Store files of a committed artifact that are not there: a clean-up may have taken an old blob of equal content between
        its commit and the record of it. `files` as they were committed; where another's result was adopted nothing is done.
        """
        for name, entry in self.manifest(ref).files.items():
            key = blob_key(entry.sha256)
            if name in files and not self._objects.exists(key) and _sha256(files[name]) == entry.sha256:
                self._objects.put(key, files[name])

    def lookup(self, kind: str, key: str) -> ArtifactRef | None:
        """Reference to (kind, key) if its manifest exists and can be read; its files are not looked at."""
        try:
            data = self._objects.get(manifest_key(kind, key))
            reference = _reference(data)
        except (ObjectMissing, ArtifactCorrupt):
            return None
        return reference if (reference.kind, reference.key) == (kind, key) else None

    def manifest(self, ref: ArtifactRef) -> Manifest:
        """The manifest, verified. Raises ArtifactMissing or ArtifactCorrupt."""
        try:
            data = self._objects.get(manifest_key(ref.kind, ref.key))
        except ObjectMissing as error:
            raise ArtifactMissing(
                f"artifact {ref.kind}/{ref.key} has no manifest: compute it again"
            ) from error
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise ArtifactCorrupt(
                f"the manifest of {ref.kind}/{ref.key} is not the one referred to ({ref.sha256[:12]}...)"
            )
        return Manifest.from_bytes(data)

    def verify(self, ref: ArtifactRef) -> None:
        """Read every byte and compare. Raises ArtifactMissing or ArtifactCorrupt."""
        for name, entry in self.manifest(ref).files.items():
            self._check(ref, name, entry.sha256, self._stored_sha256(ref, name, entry))

    def fetch(self, ref: ArtifactRef, folder: Path | None = None) -> Path:
        """Local folder with every file of the artifact, each verified; files that are there and right are
        kept.

        `folder`: where to put them; by default a folder of the cache named by the manifest's sha256.
        Raises ArtifactMissing or ArtifactCorrupt.
        """
        target = folder if folder is not None else self._used_copy(ref.sha256)
        for name, entry in self.manifest(ref).files.items():
            path = target / check_key(name)
            if path.is_file() and _sha256(path) == entry.sha256:
                continue
            self._fetch_file(ref, name, entry, path)
        target.mkdir(parents=True, exist_ok=True)
        return target

    def read(self, ref: ArtifactRef, name: str) -> bytes:
        """One file's content, verified. Raises ArtifactMissing (also: unknown name) or ArtifactCorrupt."""
        files = self.manifest(ref).files
        if name not in files:
            raise ArtifactMissing(f"artifact {ref.kind}/{ref.key} has no file {name!r}, only {sorted(files)}")
        try:
            data = self._objects.get(blob_key(files[name].sha256))
        except ObjectMissing as error:
            raise _file_gone(ref, name) from error
        self._check(ref, name, files[name].sha256, _sha256(data))
        return data

    def discard(self, ref: ArtifactRef) -> None:
        """Take a damaged artifact out of sight, so that it is computed again.

        The manifest goes first; then those of its files that are damaged (intact ones may belong to other
        artifacts too).
        """
        manifest_object = manifest_key(ref.kind, ref.key)
        try:
            files = Manifest.from_bytes(self._objects.get(manifest_object)).files
        except (ObjectMissing, ArtifactCorrupt):
            files = {}
        self._objects.delete(manifest_object)
        for name, entry in files.items():
            try:
                self._check(ref, name, entry.sha256, self._stored_sha256(ref, name, entry))
            except ArtifactMissing:
                continue
            except ArtifactCorrupt:
                self._objects.delete(blob_key(entry.sha256))

    def _used_copy(self, sha256: str) -> Path:
        """Folder of a copy in the cache, marked as used now, so that no clean-up takes it."""
        target = self._cache / sha256
        with copies_kept_still(self._cache):
            target.mkdir(exist_ok=True)
            os.utime(target)
        return target

    def _fetch_file(self, ref: ArtifactRef, name: str, entry: ManifestFile, path: Path) -> None:
        def fill(temporary: Path) -> None:
            self._objects.get_file(blob_key(entry.sha256), temporary)
            self._check(ref, name, entry.sha256, _sha256(temporary))

        try:
            write_whole(path, fill, size=entry.size)
        except ObjectMissing as error:
            raise _file_gone(ref, name) from error

    def _stored_sha256(self, ref: ArtifactRef, name: str, entry: ManifestFile) -> str:
        digest = hashlib.sha256()
        try:
            for chunk in self._objects.stream(blob_key(entry.sha256)):
                digest.update(chunk)
        except ObjectMissing as error:
            raise _file_gone(ref, name) from error
        return digest.hexdigest()

    def _check(self, ref: ArtifactRef, name: str, expected: str, actual: str) -> None:
        if expected != actual:
            raise ArtifactCorrupt(
                f"file {name!r} of artifact {ref.kind}/{ref.key}: expected sha256 {expected}, found {actual}"
            )


@contextmanager
def copies_kept_still(cache: Path) -> Iterator[None]:
    """Nobody else marks a copy as used, or removes one, during the block."""
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / COPIES_LOCK):
        yield


def _sweep_partials(cache: Path) -> None:
    """Remove half-fetched files of processes that were killed."""
    for path in cache.glob("*/*.partial"):
        swept(path, PARTIAL_TTL_SECONDS)


def manifest_uri(store_url: str, ref: ArtifactRef) -> str:
    """Address of an artifact's manifest in the store at `store_url` (whose query, if any, is left out)."""
    return f"{store_url.partition('?')[0].rstrip('/')}/{manifest_key(ref.kind, ref.key)}"


def _file_gone(ref: ArtifactRef, name: str) -> ArtifactMissing:
    return ArtifactMissing(f"file {name!r} of artifact {ref.kind}/{ref.key} is gone: compute it again")


def _reference(manifest: bytes) -> ArtifactRef:
    parsed = Manifest.from_bytes(manifest)
    digest = hashlib.sha256(manifest).hexdigest()
    return ArtifactRef(kind=parsed.kind, key=parsed.key, sha256=digest, meta=parsed.meta)


def manifest_key(kind: str, key: str) -> str:
    """Where the manifest of an artifact lies. Raises InvalidKey."""
    return check_key(f"manifests/{kind}/{key}.json")


def blob_key(sha256: str) -> str:
    """Where the content of this sha256 lies."""
    return f"blobs/{sha256[:2]}/{sha256}"


def _sha256(data: bytes | Path) -> str:
    digest = hashlib.sha256()
    if isinstance(data, bytes):
        digest.update(data)
    else:
        with data.open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def _size(data: bytes | Path) -> int:
    return len(data) if isinstance(data, bytes) else data.stat().st_size
