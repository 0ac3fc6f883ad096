from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mer.errors import MediaError, QuarantineReason
from mer.media.content_hash import sha256_file


def test_hash_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    content = os.urandom(3 << 20)
    path.write_bytes(content)
    assert sha256_file(path) == hashlib.sha256(content).hexdigest()


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MediaError) as caught:
        sha256_file(tmp_path / "pipe")
    assert caught.value.reason is QuarantineReason.NOT_A_REGULAR_FILE
    with pytest.raises(MediaError):
        sha256_file(tmp_path / "absent")
