from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from made_arrays import Made, made_arrays


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Bit-identity holds for a fixed number of threads, and tiny products are fastest on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def made() -> Made:
    """120 clips of 8 speakers: speech, and a face that a quarter of the clips lacks."""
    return made_arrays()
