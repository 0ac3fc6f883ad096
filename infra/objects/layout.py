"""Where everything in the object store lies: the keys that artifacts, the identity and the records have.

    identity.json                             which catalogue this store belongs to (`infra.store_identity`); written once
    manifests/<kind>/<key>.json               an artifact is visible exactly when its manifest exists (`infra.artifacts`)
    blobs/<aa>/<sha256>                       files of artifacts, shared by all that list them
    records/models/<model>/<version>.json     a registered version (`infra.records`)
    records/snapshots/<id>.json.gz            the data set of a registered version: members with their labels
    records/audit/<number>.json               a change of an alias; numbers are those of the catalogue's audit
    records/generations/<key>.json.gz         pseudo-labels: a generation with its labels and where it stands
    records/reviews/<corpus>/<key>.json       a decision of a reviewer
    records/shards/<feature key>/<key>.json   which feature set the shard `manifests/features/<key>.json` is of
    probes/<random>                           tried out when an S3 store is opened, removed at once

`<model>` (and the corpus and key of a review) is the beginning of the sha256 of its name: a name may hold what no key does.
Records are copies of rows of the catalogue, written behind its commit and again by the next start where that failed; `mer
rebuild` makes a catalogue out of them.

Whoever removes objects: identity, models, snapshots, audit, generations and reviews stay for ever (they are small, and the
catalogue refuses to work beside a store that knows more than it does). A record of a shard whose manifest is gone says
nothing and may go with it. An artifact that a record of a model
names is as much in use as one that the catalogue names: it is the same row.
"""

from __future__ import annotations

import hashlib

IDENTITY = "identity.json"
MANIFESTS = "manifests/"
BLOBS = "blobs/"
RECORDS = "records/"
MODEL_RECORDS = "records/models/"
SNAPSHOT_RECORDS = "records/snapshots/"
AUDIT_RECORDS = "records/audit/"
GENERATION_RECORDS = "records/generations/"
REVIEW_RECORDS = "records/reviews/"
SHARD_RECORDS = "records/shards/"
PROBES = "probes/"

_NUMBER_DIGITS = 10
"""Keys of the audit sort as their numbers do."""


def model_record(name: str, version: int) -> str:
    """Key of the record of a registered version."""
    return f"{MODEL_RECORDS}{hashlib.sha256(name.encode()).hexdigest()[:32]}/{version}.json"


def snapshot_record(snapshot: str) -> str:
    """Key of the record of a data set."""
    return f"{SNAPSHOT_RECORDS}{snapshot}.json.gz"


def audit_record(number: int) -> str:
    """Key of the record of a change of an alias."""
    return f"{AUDIT_RECORDS}{number:0{_NUMBER_DIGITS}d}.json"


def generation_record(key: str) -> str:
    """Key of the record of a generation of pseudo-labels; a generation's key may be any text."""
    return f"{GENERATION_RECORDS}{hashlib.sha256(key.encode()).hexdigest()[:32]}.json.gz"


def review_record(corpus: str, key: str) -> str:
    """Key of the record of a reviewer's decision, by its idempotency key."""
    folder, name = (hashlib.sha256(text.encode()).hexdigest()[:32] for text in (corpus, key))
    return f"{REVIEW_RECORDS}{folder}/{name}.json"


def shard_record(feature_key: str, key: str) -> str:
    """Key of the record of a feature shard; both keys are hashes."""
    return f"{SHARD_RECORDS}{feature_key}/{key}.json"
