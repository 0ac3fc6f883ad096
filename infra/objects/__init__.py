"""Object store behind one small interface: a local folder (default) or S3."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.errors import SettingsError
from infra.objects.folder import FolderStore
from infra.objects.interface import ObjectStore, check_key
from infra.settings import Settings

__all__ = ["FolderStore", "ObjectStore", "check_key", "open_store", "unprepared_store"]


def open_store(settings: Settings) -> ObjectStore:
    """Open the store that `settings.object_store_url` names.

    Raises:
        SettingsError: unknown scheme, or S3 without credentials.
        StoreUnavailable: S3 does not answer within `store_timeout_seconds`.
        StoreUnsuitable: the S3 server ignores conditional creation.
    """
    parts = urlsplit(settings.object_store_url)
    if parts.scheme == "file" and not parts.netloc:
        return FolderStore(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        from infra.objects.s3 import open_s3_store  # the S3 clients take .5 s to import

        return open_s3_store(settings)
    raise SettingsError(
        "expected MER_OBJECT_STORE_URL as file:///FOLDER or s3://BUCKET?endpoint=URL, "
        f"found scheme {parts.scheme!r}"
    )


def unprepared_store(settings: Settings) -> ObjectStore:
    """An S3 store to look into: no bucket is made, nothing is tried out.

    Raises:
        SettingsError: no S3 address, or no credentials.
    """
    from infra.objects.s3 import s3_store

    return s3_store(settings)
