"""Planted secrets, and where they are found: in any form, in files, in rows, in arguments of processes."""

from __future__ import annotations

import base64
import json
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import psycopg
import pyarrow.parquet
from psycopg import sql

NAMES = ("catalogue", "mlflow", "prefect", "optuna", "s3key", "s3secret")
VALUES = {name: f"Canary+{name}/9q" for name in NAMES}
VALUES["s3key"] = "Canary.s3key.9q"  # an access key is a part of a path
"""Name -> a secret, most with characters that URLs quote."""


def quoted(name: str) -> str:
    """The secret as it stands in a URL."""
    return quote(VALUES[name], safe="")


def _forms(secret: str) -> set[bytes]:
    """The secret itself, quoted once and twice, in JSON, in hexadecimal, in UTF-16, and in base64 at any offset."""
    plain = secret.encode()
    forms = {plain, quote_plus(secret).encode(), json.dumps(secret)[1:-1].encode(), plain.hex().encode()}
    forms |= {quote(secret, safe="").encode(), quote(quote(secret, safe=""), safe="").encode()}
    forms |= {secret.replace("/", "\\/").encode(), secret.encode("utf-16-le")}
    for coded in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            text = coded(b"x" * offset + plain)
            forms.add(
                text[(offset * 8 + 5) // 6 : len(text) // 4 * 4 - 4]
            )  # what depends on neighbours is cut
    return forms


@dataclass
class Search:
    """Where planted secrets were found."""

    hits: list[str] = field(default_factory=list)
    searched_bytes: int = 0
    secret_files: list[Path] = field(default_factory=list)
    """Files that may hold secrets, and are for their owner only."""

    def text(self, where: str, content: bytes | str) -> None:
        """Search one piece."""
        data = content.encode() if isinstance(content, str) else content
        self.searched_bytes += len(data)
        for name, secret in VALUES.items():
            self.hits += [f"{name} in {where}: {form!r}" for form in _forms(secret) if form in data]

    def folder(self, root: Path, stated: Iterable[str] = ()) -> None:
        """Search names and contents of all files below `root` but the `stated` secret files, which must be 0600."""
        names = set(stated)
        for path in root.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_symlink() or not path.is_file():
                    continue
                if str(path.relative_to(root)) in names:
                    assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
                    self.secret_files.append(path)
                    continue
                self.text(f"name of {path}", str(path))
                data = path.read_bytes()
                self.text(str(path), data)
                if data[:4] == b"PAR1":
                    self.text(f"rows of {path}", repr(pyarrow.parquet.read_table(path).to_pydict()))

    def database(self, url: str) -> None:
        """Search every row of every table of a Postgres database."""
        with psycopg.connect(url) as connection:
            tables = connection.execute(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            assert tables
            for schema, table in tables:
                rows = connection.execute(
                    sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, table))
                )
                for (row,) in rows:
                    self.text(f"table {table}", row)


@contextmanager
def watched_arguments(search: Search, interval_seconds: float = 0.02) -> Iterator[None]:
    """Search the arguments of every process of this machine while the block runs: any user of the machine can list them."""
    done, seen = threading.Event(), set[bytes]()

    def watch() -> None:
        while not done.wait(interval_seconds):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.add(path.read_bytes())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()
        assert len(seen) > 2
        for arguments in seen:
            search.text("arguments of a process", arguments)
