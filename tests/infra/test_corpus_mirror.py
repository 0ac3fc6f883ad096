"""A corpus in a bucket and its local copy: what is fetched, what is not, and what survives."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from minio import Minio
from pydantic import SecretStr
from stub_bucket import serving
from test_s3_faults import FaultProxy

from infra.errors import SettingsError, StoreUnavailable
from infra.objects import mirror as mirroring
from infra.objects.bucket_address import BucketAddress
from infra.objects.local_copies import local_paths
from infra.objects.mirror import BucketMirror, MirrorPlan
from infra.objects.s3 import S3Address
from infra.settings import Settings
from infra.whole_files import is_temporary

CONTENT = {
    "labels.csv": b"name,emotion\na,sad\n",
    "clips/a.wav": b"a" * 100_000,
    "clips/b c.wav": b"b" * 70_000,
    "clips/deep/er/d\u00fc.wav": b"d",
    "empty.txt": b"",
}


class Bucket:
    """A prefix of its own in a bucket of the session's S3 server."""

    def __init__(self, settings: Settings) -> None:
        assert settings.s3_access_key is not None and settings.s3_secret_key is not None
        self.settings = settings
        self.endpoint = S3Address.parse(settings.object_store_url).endpoint
        self.prefix = f"corpora/{uuid.uuid4().hex[:12]}"
        self.client = Minio(
            urlsplit(self.endpoint).netloc, access_key=settings.s3_access_key.get_secret_value(),
            secret_key=settings.s3_secret_key.get_secret_value(), secure=False, region="us-east-1",
        )  # fmt: skip
        if not self.client.bucket_exists("corpora"):
            self.client.make_bucket("corpora")

    @property
    def address(self) -> str:
        return f"s3://corpora/{self.prefix}?endpoint={self.endpoint}"

    def put(self, **content: bytes) -> None:
        for path, data in content.items():
            self.client.put_object("corpora", f"{self.prefix}/{path}", io.BytesIO(data), len(data))

    def delete(self, path: str) -> None:
        self.client.remove_object("corpora", f"{self.prefix}/{path}")

    def mirror(self, **settings: Any) -> BucketMirror:
        changed = self.settings.model_copy(update=settings)
        return BucketMirror(BucketAddress.parse(self.address, changed), changed)


@pytest.fixture
def bucket(s3_settings: Settings) -> Bucket:
    made = Bucket(s3_settings)
    made.put(**CONTENT)
    return made


def brought_up_to_date(mirror: BucketMirror) -> MirrorPlan:
    plan = mirror.plan()
    mirror.fetch(plan.fetch)
    mirror.remove(plan.gone)
    return plan


def files(root: Path) -> dict[str, bytes]:
    found = (path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in found
        if not any(map(is_temporary, path.relative_to(root).parts))  # hidden, and swept
    }


@pytest.mark.slow
class TestOfARealServer:
    def test_the_copy_is_the_folder_and_nothing_is_fetched_twice(self, bucket: Bucket) -> None:
        mirror = bucket.mirror()
        plan = brought_up_to_date(mirror)
        assert {item.path for item in plan.fetch} == set(CONTENT)
        assert plan.bytes == sum(map(len, CONTENT.values()))
        assert files(mirror.root) == CONTENT
        again = bucket.mirror().plan()
        assert (again.fetch, again.gone, again.unchanged) == ((), (), len(CONTENT))

    def test_a_changed_object_of_equal_size_is_fetched_alone(self, bucket: Bucket) -> None:
        brought_up_to_date(bucket.mirror())
        bucket.put(**{"clips/a.wav": b"A" * 100_000})
        plan = brought_up_to_date(bucket.mirror())
        assert [item.path for item in plan.fetch] == ["clips/a.wav"]
        assert files(bucket.mirror().root)["clips/a.wav"] == b"A" * 100_000

    def test_what_is_gone_from_the_bucket_goes_from_the_copy(self, bucket: Bucket) -> None:
        brought_up_to_date(bucket.mirror())
        bucket.delete("clips/deep/er/d\u00fc.wav")
        root = bucket.mirror().root
        (root / "stray.wav").write_bytes(b"x")
        plan = brought_up_to_date(bucket.mirror())
        assert set(plan.gone) == {"clips/deep/er/d\u00fc.wav", "stray.wav"} and not plan.fetch
        assert not (root / "clips" / "deep").exists() and (root / "clips").is_dir()

    @pytest.mark.parametrize("damage", ["removed", "cut"])
    def test_a_damaged_copy_is_mended(self, bucket: Bucket, damage: str) -> None:
        brought_up_to_date(bucket.mirror())
        file = bucket.mirror().root / "clips/a.wav"
        file.unlink() if damage == "removed" else file.write_bytes(b"a")
        plan = brought_up_to_date(bucket.mirror())
        assert [item.path for item in plan.fetch] == ["clips/a.wav"]
        assert files(bucket.mirror().root) == CONTENT

    def test_a_copy_that_is_made_again_has_the_times_it_had(self, bucket: Bucket) -> None:
        brought_up_to_date(bucket.mirror())
        root = bucket.mirror().root
        before = {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")}
        shutil.rmtree(bucket.settings.cache_folder)
        brought_up_to_date(bucket.mirror())
        assert {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")} == before

    def test_a_kill_costs_the_object_on_its_way(self, bucket: Bucket) -> None:
        script = f"""
import os, signal
from infra.objects import mirror as module
from infra.objects.bucket_address import BucketAddress
from infra.settings import load_settings
settings = load_settings()
found = module.BucketMirror(BucketAddress.parse({bucket.address!r}, settings), settings)
download, done = found._download, []
def dying(item, partial):
    if len(done) == 2:
        partial.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(item)
    return download(item, partial)
found._download = dying
found.fetch(found.plan().fetch)
"""
        keys = (bucket.settings.s3_access_key, bucket.settings.s3_secret_key)
        access, secret = (key.get_secret_value() for key in keys if key is not None)
        environment = {
            **os.environ, "MER_HOME": str(bucket.settings.home), "MER_S3_ACCESS_KEY": access, "MER_S3_SECRET_KEY": secret,
        }  # fmt: skip
        done = subprocess.run([sys.executable, "-c", script], env=environment, timeout=60, check=False)
        assert done.returncode == -signal.SIGKILL
        mirror = bucket.mirror()
        held = files(mirror.root)
        assert len(held) == 2 and held.items() <= CONTENT.items(), "no half file under any name"
        plan = brought_up_to_date(mirror)
        assert len(plan.fetch) == len(CONTENT) - 2
        assert files(mirror.root) == CONTENT

    def test_a_read_that_breaks_off_is_taken_up(self, bucket: Bucket) -> None:
        large = bytes(range(256)) * 20_000
        bucket.put(**{"large.bin": large})
        port = urlsplit(bucket.endpoint).port
        assert port is not None
        proxy = FaultProxy(port)
        address = bucket.address.replace(f":{port}", f":{proxy.port}")
        mirror = BucketMirror(BucketAddress.parse(address, bucket.settings), bucket.settings)
        plan = mirror.plan()
        proxy.cut_after, proxy.cuts_left = 1_500_000, 2
        mirror.fetch(plan.fetch)
        proxy.close()
        assert proxy.cuts_left == 0 and files(mirror.root)["large.bin"] == large

    def test_an_outage_for_good_is_a_typed_error_and_what_was_fetched_is_kept(self, bucket: Bucket) -> None:
        port = urlsplit(bucket.endpoint).port
        assert port is not None
        proxy = FaultProxy(port)
        address = bucket.address.replace(f":{port}", f":{proxy.port}")
        settings = bucket.settings.model_copy(update={"store_timeout_seconds": 2.0})
        mirror = BucketMirror(BucketAddress.parse(address, settings), settings)
        plan = mirror.plan()
        mirror.fetch(plan.fetch[:2])
        proxy.go_down()
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="what was fetched is kept"):
            mirror.fetch(plan.fetch[2:])
        assert time.monotonic() - started < 2 * 2 * settings.store_timeout_seconds
        proxy.close()
        assert len(bucket.mirror().plan().fetch) == len(CONTENT) - 2

    def test_what_cannot_be_read_is_said(self, bucket: Bucket) -> None:
        def plan(address: str, **changed: Any) -> None:
            settings = bucket.settings.model_copy(update={"store_timeout_seconds": 2.0, **changed})
            BucketMirror(BucketAddress.parse(address, settings), settings).plan()

        brought_up_to_date(bucket.mirror())
        with pytest.raises(SettingsError, match="expected a bucket nowhere-to-be-found"):
            plan(f"s3://nowhere-to-be-found/x?endpoint={bucket.endpoint}")
        with pytest.raises(SettingsError, match="found no object below it"):
            plan(f"s3://corpora/misspelt?endpoint={bucket.endpoint}")
        with pytest.raises(SettingsError, match="check the keys"):
            plan(bucket.address, s3_secret_key=SecretStr("wrong"))
        with pytest.raises(SettingsError, match="MER_S3_ACCESS_KEY"):
            plan(bucket.address, s3_access_key=None, s3_secret_key=None)
        assert files(bucket.mirror().root) == CONTENT, "an error removes nothing"


def test_paths_of_buckets_become_folders_here_and_others_stay(
    hostile_server: str, settings: Settings
) -> None:
    steps: list[tuple[int, int]] = []
    address = f"s3://data/p?endpoint={hostile_server}"
    paths = local_paths(["a.wav", address, "/b"], settings, lambda done, total: steps.append((done, total)))
    root = settings.cache_folder / "corpora" / "data" / "p"
    assert paths == ["a.wav", str(root), "/b"] and (root / "good.wav").read_bytes() == b"good"
    assert steps == [(4, 8), (8, 8)]
    assert local_paths([address], settings, lambda *_: pytest.fail("nothing is fetched twice")) == [str(root)]


HOSTILE = (
    "p/../../etc/passwd", "p//etc/passwd", "p/./x", "p/a\\..\\b", "p/new\nline", "p/" + "x" * 300, "p/both",
)  # fmt: skip


@pytest.fixture
def hostile_server() -> Iterator[str]:
    keys = (*HOSTILE, "p/both/inner.wav", "p/good.wav", "p/folder/")
    with serving({key: b"" if key.endswith("/") else b"good" for key in keys}) as endpoint:
        yield endpoint


def test_keys_that_lead_out_are_refused_and_the_others_fetched(
    hostile_server: str, settings: Settings, tmp_path: Path
) -> None:
    mirror = BucketMirror(BucketAddress.parse(f"s3://data/p?endpoint={hostile_server}", settings), settings)
    plan = brought_up_to_date(mirror)
    assert {item.path for item in plan.fetch} == {"good.wav", "both/inner.wav"}
    assert {key.replace("\r", "") for key in plan.refused} == set(HOSTILE)
    assert files(mirror.root) == {"good.wav": b"good", "both/inner.wav": b"good"}
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"good.wav", "inner.wav", "data.jsonl", "data.endpoint"}


def test_files_of_dead_fetchers_are_swept(
    hostile_server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = BucketMirror(BucketAddress.parse(f"s3://data/p?endpoint={hostile_server}", settings), settings)
    state = settings.cache_folder / "corpora" / ".state"
    state.mkdir(parents=True)
    (state / "dead.partial").write_bytes(b"half")
    mirror.plan()
    assert (state / "dead.partial").exists(), "it may be in use"
    monkeypatch.setattr(mirroring, "_PARTIAL_TTL_SECONDS", -1.0)
    mirror.plan()
    assert not (state / "dead.partial").exists()


def test_a_journal_whose_last_line_was_cut_off_is_read(hostile_server: str, settings: Settings) -> None:
    mirror = BucketMirror(BucketAddress.parse(f"s3://data/p?endpoint={hostile_server}", settings), settings)
    brought_up_to_date(mirror)
    journal = settings.cache_folder / "corpora" / ".state" / "data.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    assert len(mirror.plan().fetch) == 1


def test_a_server_that_is_not_there_is_a_typed_error_in_time(settings: Settings) -> None:
    short = settings.model_copy(update={"store_timeout_seconds": 1.0})
    mirror = BucketMirror(BucketAddress.parse("s3://data/p?endpoint=http://127.0.0.1:9", short), short)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"s3://data/p.*check that the server runs.*endpoint"):
        mirror.plan()
    assert time.monotonic() - started < 5


OBJECTS = {f"p/{number}.wav": bytes([number]) * 9 for number in range(6)}


def test_one_bucket_on_two_servers_has_two_copies(settings: Settings) -> None:
    others = {"p/0.wav": b"other", "p/x.wav": b"x"}
    with serving(OBJECTS) as first, serving(others) as second:
        addresses = [f"s3://data/p?endpoint={endpoint}" for endpoint in (first, second)] * 2
        roots = local_paths(addresses, settings)
        assert roots[0] == roots[2] != roots[1] == roots[3]
        assert files(Path(roots[0])) == {key.removeprefix("p/"): data for key, data in OBJECTS.items()}
        assert files(Path(roots[1])) == {key.removeprefix("p/"): data for key, data in others.items()}
        for address in addresses[:2]:
            mirror = BucketMirror(BucketAddress.parse(address, settings), settings)
            assert (mirror.plan().fetch, mirror.plan().gone) == ((), ()), "a run undoes the other's"


@pytest.mark.parametrize("changed", [{}, {"p/0.wav": b"changed", "p/new.wav": b"new"}])
def test_a_server_that_moved_finds_its_copy(settings: Settings, changed: dict[str, bytes]) -> None:
    with serving(OBJECTS) as before:
        (root,) = local_paths([f"s3://data/p?endpoint={before}"], settings)
    with serving(OBJECTS | changed) as after:
        address = BucketAddress.parse(f"s3://data/p?endpoint={after}", settings)
        plan = BucketMirror(address, settings).plan()
        assert {item.key for item in plan.fetch} == set(changed)
        assert local_paths([f"s3://data/p?endpoint={after}"], settings) == [root]
    assert str(address.mirror(settings)) == root


def test_a_copy_is_brought_up_to_date_by_one_at_a_time(settings: Settings) -> None:
    with serving(OBJECTS) as endpoint, ThreadPoolExecutor(1) as threads:
        address = BucketAddress.parse(f"s3://data/p?endpoint={endpoint}", settings)
        with address.alone(settings):
            second = threads.submit(local_paths, [f"s3://data/p?endpoint={endpoint}"], settings)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.5)
            assert not address.mirror(settings).exists()
        assert len(files(Path(second.result(timeout=20)[0]))) == len(OBJECTS)
