"""A file whose name is no UTF-8 is catalogued and quarantined like any other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.catalogue import ClipUpsert, open_catalogue
from infra.catalogue.stored_path import read_path, stored_path

ODD = os.fsdecode(b"/data/caf\xe9.wav")


@pytest.mark.parametrize(
    "path", [ODD, "/data/caf\u00e9.wav", "/data/\U0001f600.wav", os.fsdecode(b"/\x80\xff/a.wav")]
)
def test_paths_come_back(path: str) -> None:
    stored_path(path).encode("utf-8")
    assert read_path(stored_path(path)) == path


def test_accepted_and_set_aside(tmp_path: Path) -> None:
    with open_catalogue(f"sqlite:///{tmp_path}/c.db") as catalogue:
        catalogue.upsert_corpus("c", root=tmp_path, format="folder", emotions=["a"])
        clip = ClipUpsert(
            name="odd", content="0" * 64, path=ODD, size=1, mtime_ns=2, duration_seconds=1.0, has_audio=True,
            has_video=False, split="unlabelled",
        )  # fmt: skip
        catalogue.quarantine("c", "odd", ODD, "timed_out", "late")
        catalogue.upsert_clips("c", [clip])
        assert [str(row.path) for row in catalogue.clips("c")] == [ODD] == list(catalogue.known_files("c"))
        assert catalogue.quarantined("c") == []
        catalogue.quarantine("c", "odd", ODD, "timed_out", "late")
        assert catalogue.clips("c") == [] and len(catalogue.quarantined("c")) == 1
