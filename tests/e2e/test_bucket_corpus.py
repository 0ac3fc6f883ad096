"""A corpus in a bucket through the command line, and corpora on which nothing can be trained yet."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from e2e_installation import TINY, Installation
from minio import Minio

from infra.objects.s3 import S3Address
from infra.services import s3_credentials
from infra.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def store(
    installation: Installation, server_settings: Settings, s3_server: str, demo_corpus: Path, tmp_path: Path
) -> tuple[Installation, Minio, str]:
    """An installation with the server's keys, and the demo corpus in a bucket of it."""
    access, secret = (key.get_secret_value() for key in s3_credentials(server_settings))
    endpoint = S3Address.parse(s3_server).endpoint
    client = Minio(
        urlsplit(endpoint).netloc, access_key=access, secret_key=secret, secure=False, region="us-east-1"
    )
    if not client.bucket_exists("clips"):
        client.make_bucket("clips")
    prefix = f"{tmp_path.name}/drawn-faces"
    for file in demo_corpus.rglob("*"):
        if file.is_file() and not file.is_symlink():
            client.fput_object("clips", f"{prefix}/{file.relative_to(demo_corpus)}", str(file))
    keys = {"MER_S3_ACCESS_KEY": access, "MER_S3_SECRET_KEY": secret}
    made = Installation(installation.home, installation.corpus, {**installation.environment, **keys})
    return made, client, f"s3://clips/{prefix}?endpoint={endpoint}"


def test_a_bucket_is_ingested_through_a_copy_that_follows_it(store: tuple[Installation, Minio, str]) -> None:
    installation, client, address = store
    first = installation.mer("ingest", "--recipe", str(TINY), "--corpus", address)
    assert "corpus drawn-faces:" in first.stdout
    with installation.catalogue() as catalogue:
        (corpus,) = catalogue.corpora()
        rows = catalogue.clips("drawn-faces")
    copy = installation.home / "cache" / "corpora" / "clips"
    assert corpus.root.is_relative_to(copy)
    assert len(rows) == 32, first.stdout  # the other four are broken
    assert all(row.path.is_relative_to(corpus.root) and row.path.is_file() for row in rows)
    again = installation.mer("ingest", "--recipe", str(TINY), "--corpus", address)
    assert "0 fetched" in again.stdout and "0 files read now" in again.stdout
    gone = rows[0]
    key = f"{urlsplit(address).path.strip('/')}/{gone.path.relative_to(corpus.root)}"
    client.remove_object("clips", key)
    after = installation.mer("ingest", "--recipe", str(TINY), "--corpus", address)
    assert "1 removed" in after.stdout
    with installation.catalogue() as catalogue:
        assert {row.name for row in catalogue.clips("drawn-faces")} == {row.name for row in rows} - {
            gone.name
        }


def test_a_bucket_that_is_not_there_is_one_line(installation: Installation) -> None:
    environment = {**installation.environment, "MER_STORE_TIMEOUT_SECONDS": "2"}
    silent = Installation(installation.home, installation.corpus, environment)
    done = silent.mer("ingest", "--corpus", "s3://clips/x?endpoint=http://127.0.0.1:9", check=False)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("mer: ")]
    assert len(said) == 1 and "s3://clips/x" in said[0] and "run again" in said[0]
    assert "Traceback" not in done.stderr + done.stdout


def bare(corpus: Path, root: Path) -> None:
    for file in sorted(corpus.rglob("*.mp4"))[:6]:
        shutil.copy(file, root / file.name)


def unlabelled_table(corpus: Path, root: Path) -> None:
    bare(corpus, root)
    names = sorted(path.stem for path in root.glob("*.mp4"))
    (root / "labels.csv").write_text("name,emotion\n" + "".join(f"{name},\n" for name in names))


def labels_of_a_test_alone(corpus: Path, root: Path) -> None:
    bare(corpus, root)
    names = sorted(path.stem for path in root.glob("*.mp4"))
    (root / "labels.csv").write_text(
        "name,emotion,split\n" + "".join(f"{name},sad,test1\n" for name in names)
    )


def valences_alone(corpus: Path, root: Path) -> None:
    bare(corpus, root)
    names = sorted(path.stem for path in root.glob("*.mp4"))
    (root / "labels.csv").write_text("name,valence\n" + "".join(f"{name},-1.5\n" for name in names))


@pytest.mark.parametrize(
    "corpus",
    [
        bare,
        *(
            pytest.param(one, marks=pytest.mark.nightly)
            for one in (unlabelled_table, labels_of_a_test_alone, valences_alone)
        ),
    ],
)
def test_clips_without_labels_are_ingested_and_a_run_says_what_it_needs(
    installation: Installation, tmp_path: Path, corpus: Callable[[Path, Path], None]
) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    corpus(installation.corpus, root)
    clips = len(list(root.glob("*.mp4")))
    done = installation.mer("ingest", "--corpus", str(root))
    assert f"corpus mine: {clips} entries" in done.stdout
    assert "a model needs labels" in done.stdout and "Traceback" not in done.stderr
    with installation.catalogue() as catalogue:
        assert len(catalogue.clips("mine")) + len(catalogue.quarantined("mine")) == clips
    ran = installation.mer("run", "--corpus", str(root), check=False)
    assert ran.returncode == 1
    said = [line for line in ran.stderr.splitlines() if line.startswith("mer: ")]
    assert len(said) == 1 and "labels" in said[0]
    assert "features" not in ran.stdout and "Traceback" not in ran.stderr
