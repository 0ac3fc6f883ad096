"""`mer status` says which files were quarantined, and stays short where thousands were for one reason."""

from __future__ import annotations

from flows.status.corpora import _quarantined
from infra.catalogue import QuarantinedFile


def test_many_files_of_one_reason_are_counted() -> None:
    items = [
        QuarantinedFile(name=f"c{n}", path=f"c{n}.mp4", reason="no_audio", detail="silent") for n in range(40)
    ]
    other = QuarantinedFile(name="x", path="x.mp4", reason="empty_file", detail="0 bytes")
    lines = list(_quarantined([*items, other], "/data/c"))
    assert lines[:3] == [f"  quarantined c{n}: no_audio: silent" for n in range(3)]
    assert lines[3:] == [
        "  quarantined x: empty_file: 0 bytes",
        "  quarantined as well: 37 no_audio (`mer check /data/c --all` says more)",
    ]
    assert len(list(_quarantined(items[:3], "/data/c"))) == 3
