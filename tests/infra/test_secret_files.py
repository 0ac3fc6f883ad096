"""Secrets out of files become variables, and parts of addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.errors import SettingsError
from infra.services.secret_files import with_secrets


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "db"
    path.write_text("p@ss/word\n")
    return str(path)


def test_a_file_becomes_a_variable_and_a_part_of_others(secret: str) -> None:
    made = with_secrets(
        {
            "DB__FILE": secret,
            "MER_DATABASE_URL": "postgresql://mer:{DB}@host/mer",
            "PREFECT_API_AUTH_STRING": "mer:{DB}",
            "OTHER": "{DB}",
        }
    )
    assert made == {
        "DB": "p@ss/word",
        "MER_DATABASE_URL": "postgresql://mer:p%40ss%2Fword@host/mer",
        "PREFECT_API_AUTH_STRING": "mer:p@ss/word",
        "OTHER": "{DB}",
    }


def test_what_is_missing_is_named(tmp_path: Path, secret: str) -> None:
    with pytest.raises(
        SettingsError, match=r"DB__FILE: expected a file with a secret, found none at .*absent"
    ):
        with_secrets({"DB__FILE": str(tmp_path / "absent")})
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(SettingsError, match=r"DB__FILE: expected a secret in .*empty, found an empty file"):
        with_secrets({"DB__FILE": str(tmp_path / "empty")})
    with pytest.raises(SettingsError, match=r"MER_X: expected a variable PW__FILE for \{PW\}, found none"):
        with_secrets({"DB__FILE": secret, "MER_X": "{PW}"})


def test_it_becomes_the_program(secret: str) -> None:
    code = "import os, sys; print(os.environ['DB'], os.getpid()); sys.exit(7)"
    command = [sys.executable, "-m", "infra.services.secret_files", sys.executable, "-c", code]
    with subprocess.Popen(
        command, env={**os.environ, "DB__FILE": secret}, stdout=subprocess.PIPE, text=True
    ) as process:
        said, _ = process.communicate(timeout=60)
    assert said.split() == ["p@ss/word", str(process.pid)]
    assert process.returncode == 7
