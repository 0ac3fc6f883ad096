from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real inputs that are too large or not ours to ship: `../shared` beside the checkout, or `MER_SHARED`."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("MER_SHARED", beside))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data at {folder}: set MER_SHARED to the folder with data/ and models/")
    return folder
