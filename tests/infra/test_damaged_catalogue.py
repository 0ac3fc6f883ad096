"""A catalogue that is damaged says so in one message, with the newest backup and the commands; nothing is lost by saying it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from catalogue_rows import clip, generation, label, ref

from infra.catalogue import Catalogue, open_catalogue, open_database
from infra.catalogue.backing_up import back_up, back_up_daily
from infra.catalogue.backups import backups_in
from infra.catalogue.database import Database
from infra.catalogue.loading import load
from infra.errors import BackupUnusable, CatalogueDamaged, HomeUnusable, InfraError
from infra.settings import Settings, load_settings


def fill(catalogue: Catalogue) -> None:
    catalogue.upsert_corpus("c", "/c", "folder", ("angry", "neutral"))
    catalogue.upsert_clips("c", [clip(number) for number in range(300)])
    catalogue.set_gold_labels("c", [(f"clip{number}", "neutral", 0.5) for number in range(0, 300, 2)])
    catalogue.record_artifact(ref("shard"), "features", "1", {"torch": "2"})
    catalogue.register_features("f" * 64, ref("shard"), [clip(number).content for number in range(300)])
    catalogue.add_generation(generation("g", "c"), [label(1, "angry", 0.9, None)])
    snapshot = catalogue.snapshot("c", catalogue.clips("c")).id
    for key in "ab":
        version = catalogue.add_model_version(
            "m", ref(key), evaluation=ref("e"), snapshot=snapshot, metrics={"waf": 0.5}, idempotency_key=key
        )
        catalogue.set_alias("m", "champion", version, "better", evidence="{}")
    catalogue.release_lease(catalogue.acquire_lease("retrain/m"))


def everything(catalogue: Catalogue) -> object:
    return (
        catalogue.corpora(), catalogue.clips("c"), catalogue.known_files("c"), catalogue.feature_shards(),
        catalogue.artifacts(), catalogue.generations(), catalogue.pseudo_labels("g"), catalogue.model_versions(),
        catalogue.promotions("m", None), catalogue.champion("m"), catalogue.store_identity(),
        [catalogue.snapshot_members(str(row.snapshot_id)) for row in catalogue.model_versions()],
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a catalogue with some hundred rows."""
    home = load_settings(home=tmp_path_factory.mktemp("whole"))
    with open_catalogue(home) as catalogue:
        fill(catalogue)
    return (home.home / "catalogue.db").read_bytes()


def zeroed(data: bytes) -> bytes:
    return data[: 4096 * 3] + bytes(4096 * 8) + data[4096 * 11 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "random": lambda data: random.Random(1).randbytes(len(data)),
    "half": lambda data: data[: len(data) // 2],
    "header only": lambda data: data[:100],
    "zeroed pages": zeroed,
    "zeroed header": lambda data: bytes(4096) + data[4096:],
    "text": lambda data: b"not a database, at least not one of ours",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file(settings: Settings, whole: bytes, damage: str) -> None:
    settings.home.mkdir()
    (settings.home / "catalogue.db").write_bytes(DAMAGES[damage](whole))
    settings.backup_folder.mkdir()
    newest = settings.backup_folder / "catalogue-000007-20260101T000000Z.jsonl.gz"
    newest.write_bytes(b"")
    with pytest.raises(CatalogueDamaged) as caught, open_catalogue(settings) as catalogue:
        everything(catalogue)
    for part in ("catalogue.db", str(newest), "mer restore", "mer rebuild"):
        assert part in str(caught.value)


@pytest.mark.slow
def test_whatever_bytes_are_changed_it_is_an_error_of_ours(settings: Settings, whole: bytes) -> None:
    generator = random.Random(15)
    settings.home.mkdir()
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(generator.choice((1, 20, 400))):
            data[generator.randrange(len(data))] = generator.randrange(256)
        for name in ("catalogue.db-wal", "catalogue.db-shm"):
            (settings.home / name).unlink(missing_ok=True)
        (settings.home / "catalogue.db").write_bytes(bytes(data))
        try:
            with open_catalogue(settings) as catalogue:
                everything(catalogue)
        except InfraError:
            continue


def test_a_folder_in_its_place(settings: Settings) -> None:
    (settings.home / "catalogue.db").mkdir(parents=True)
    with pytest.raises(CatalogueDamaged, match="expected a file"):
        open_catalogue(settings)


def test_a_table_that_is_gone(catalogue: Catalogue) -> None:
    with catalogue.database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE quarantine")
    catalogue.upsert_corpus("c", "/c", "folder", ())
    with pytest.raises(CatalogueDamaged, match="mer restore"):
        catalogue.quarantined("c")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_file_of_another_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="mer-other-"))
    try:
        folder.chmod(0o755)
        with open_catalogue(f"sqlite:///{folder / 'catalogue.db'}"):
            pass
        with pytest.raises(HomeUnusable, match="may not read and write"):
            as_nobody(folder / "catalogue.db")
    finally:
        shutil.rmtree(folder)


def as_nobody(file: Path) -> None:
    """Look at the file as `nobody` does; what is said there is raised here."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom infra.catalogue.database import Database\n"
        "from infra.errors import InfraError\nimport sqlalchemy.dialects.sqlite\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"try: Database('sqlite:///{file}', 1.0)\n"
        "except InfraError as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    name, _, message = done.stdout.partition(" ")
    if name == "HomeUnusable":
        raise HomeUnusable(message)


def test_a_backup_comes_back_as_it_was(catalogue: Catalogue, tmp_path: Path) -> None:
    fill(catalogue)
    before = everything(catalogue)
    token = catalogue.acquire_lease("retrain/late").token
    path = back_up(catalogue.database, tmp_path / "backups")
    assert path.stat().st_mode & 0o077 == 0
    catalogue.rollback("m", "worse")
    catalogue.upsert_corpus("later", "/later", "folder", ())
    load(catalogue.database, path)
    assert everything(catalogue) == before
    assert catalogue.acquire_lease("retrain/late").token > token + 1000  # free, and no token is given twice
    number = catalogue.promotions("m")[-1].id
    assert catalogue.rollback("m", "goes on counting").id > number
    assert catalogue.upsert_corpus("new", "/new", "folder", ()) > 1


@pytest.mark.slow
def test_a_backup_moves_between_kinds_of_databases(tmp_path: Path, fresh_postgres: Callable[[], str]) -> None:
    urls = [f"sqlite:///{tmp_path / 'a.db'}", fresh_postgres(), f"sqlite:///{tmp_path / 'b.db'}"]
    with open_catalogue(urls[0]) as first:
        fill(first)
        expected = everything(first)
        path = back_up(first.database, tmp_path)
    for url in urls[1:]:
        with open_catalogue(url) as other:
            load(other.database, path)
            assert everything(other) == expected
            path = back_up(other.database, tmp_path)


def test_every_changed_or_lacking_byte_of_a_backup_is_seen(settings: Settings, tmp_path: Path) -> None:
    with open_catalogue(settings) as catalogue:
        fill(catalogue)
        data = back_up(catalogue.database, tmp_path).read_bytes()
        expected, generator, path = everything(catalogue), random.Random(9), tmp_path / "x.jsonl.gz"
        for number in range(30):
            position = generator.randrange(10, len(data))
            flipped = bytearray(data)
            flipped[position] ^= 1 << generator.randrange(8)
            path.write_bytes(bytes(flipped) if number % 2 else data[:position])
            with pytest.raises(BackupUnusable):
                load(catalogue.database, path)
        path.write_bytes(
            data[:10] + b"\xff" * (len(data) - 10)
        )  # no block of deflate begins so: zlib's own error
        with pytest.raises(BackupUnusable):
            load(catalogue.database, path)
        assert everything(catalogue) == expected


def test_one_backup_a_day_whatever_the_clock_says(settings: Settings) -> None:
    folder = settings.backup_folder
    with open_catalogue(settings) as catalogue:
        assert back_up_daily(catalogue.database, folder) is not None
        assert back_up_daily(catalogue.database, folder) is None
        for number, age in enumerate((90_000, -90_000) * 5):
            newest = backups_in(folder)[-1].path
            os.utime(newest, (newest.stat().st_mtime - age,) * 2)
            assert back_up_daily(catalogue.database, folder) is not None, number
    assert [backup.number for backup in backups_in(folder)] == [5, 6, 7, 8, 9, 10, 11]


def test_a_damaged_database_is_not_backed_up(settings: Settings, whole: bytes) -> None:
    settings.home.mkdir()
    (settings.home / "catalogue.db").write_bytes(zeroed(whole))
    database = Database(settings.database_url.get_secret_value(), 1.0, settings.backup_folder)
    with pytest.raises(CatalogueDamaged):
        back_up(database, settings.backup_folder)
    database.close()
    assert not backups_in(settings.backup_folder)


def test_the_schema_is_changed_only_after_a_backup(settings: Settings) -> None:
    from alembic import command

    from infra.catalogue.schema import alembic_config

    with open_catalogue(settings) as catalogue:
        fill(catalogue)
        with catalogue.database.writing() as connection:
            connection.execute(sa.text("UPDATE promotions SET actor = NULL"))  # 0008 knew nobody
        expected = everything(catalogue)
        config = alembic_config()
        with catalogue.database.writing() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0008")
    assert not backups_in(settings.backup_folder)
    open_database(settings).close()
    (backup,) = backups_in(settings.backup_folder)
    with open_catalogue(settings) as catalogue:
        catalogue.rollback("m", "worse")
        load(catalogue.database, backup.path)
        assert everything(catalogue) == expected
