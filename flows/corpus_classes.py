"""Classes that a corpus gives a recipe: those it is catalogued with, or its own labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.buckets import local_paths_with_bar
from infra.objects.bucket_address import BucketAddress, is_bucket_address
from mer.corpora.emotion_set import AUTO_EMOTIONS, emotions_of, named_classes
from mer.corpora.options import ReadingOptions
from mer.errors import ConfigError


def own_classes(corpus: str, reading: ReadingOptions) -> tuple[str, ...]:
    """The labels of the corpus as classes; of a bucket by its local copy, brought up to date.

    Raises:
        ConfigError: no corpus is given.
        CorpusError: it cannot be read, or has too few labels.
        SettingsError, StoreUnavailable, StoreFull: the bucket cannot be read.
    """
    if not corpus:
        raise ConfigError(
            f"emotions: expected a corpus with {AUTO_EMOTIONS}, whose labels become the classes, found none; give "
            "--corpus FOLDER, or the classes themselves, --emotions A,B,..."
        )
    (root,) = local_paths_with_bar([corpus])
    return emotions_of(root, reading).emotions


def classes_unasked(
    corpus: str, name: str, emotions: Sequence[str], reading: ReadingOptions, *, named: bool
) -> tuple[str, ...] | None:
    """Classes of a corpus where nobody says any; None: the recipe's.

    A catalogued corpus keeps the classes that it was catalogued with, whatever was added since: its model's versions are
    compared. The names of files or folders of a new one may be classes outside the recipe's, see `named_classes`.

    Args:
        corpus: folder, or one in a bucket.
        name: its name in the catalogue.
        emotions: the recipe's classes.
        reading: how it is read.
        named: somebody gave the name; otherwise it is the folder's.

    Raises:
        CorpusError: the corpus cannot be read, or has too few labels.
        SettingsError, StoreUnavailable, StoreFull, CatalogueUnavailable: the bucket or the catalogue cannot be read.
    """
    from tasks.data.catalogued_classes import catalogued_classes

    catalogued = catalogued_classes(name, _root(corpus), named=named)
    if catalogued is not None:
        return catalogued if catalogued != tuple(emotions) else None
    (root,) = local_paths_with_bar([corpus])
    return named_classes(root, emotions, reading)


def _root(corpus: str) -> Path:
    """The folder that a corpus has in the catalogue."""
    if not is_bucket_address(corpus):
        return Path(corpus).expanduser().resolve()
    from infra.settings import load_settings

    settings = load_settings()
    return BucketAddress.parse(corpus, settings).mirror(settings).resolve()
