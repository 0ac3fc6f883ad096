from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mer.training.checkpoint import Checkpoint, content_digest
from mer.training.optimiser_state import optimiser_tensors, restore_optimiser
from mer.training.seeding import derive_seed, epoch_generator

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
    "step": torch.tensor(3),
    "flag": torch.tensor([True, False]),
    "half": torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
    "empty": torch.zeros(0, 4),
}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "deep" / "checkpoint.safetensors")
    assert checkpoint.load() is None
    checkpoint.save(TENSORS, {"epoch": 2, "best": float("nan"), "history": [{"loss": 0.1}]})
    loaded = checkpoint.load()
    assert loaded is not None
    tensors, meta = loaded
    assert meta["epoch"] == 2 and meta["history"] == [{"loss": 0.1}] and meta["best"] != meta["best"]
    assert content_digest(tensors) == content_digest(TENSORS)
    assert [path.name for path in checkpoint.path.parent.iterdir()] == [checkpoint.path.name]


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    """safetensors writes several entries of its header in an order drawn anew for every file."""
    written = set()
    for number in range(12):
        checkpoint = Checkpoint(tmp_path / str(number))
        checkpoint.save(TENSORS, {"epoch": 2, "best": 0.5})
        written.add(checkpoint.path.read_bytes())
    assert len(written) == 1


def test_a_later_save_replaces_the_earlier(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save({"a": torch.zeros(1)}, {"epoch": 1})
    checkpoint.save({"b": torch.ones(1)}, {"epoch": 2})
    loaded = checkpoint.load()
    assert loaded is not None and list(loaded[0]) == ["b"] and loaded[1] == {"epoch": 2}
    checkpoint.clear()
    checkpoint.clear()
    assert checkpoint.load() is None


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.999])
def test_a_flipped_bit_makes_it_absent(tmp_path: Path, share: float) -> None:
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save({"a": torch.randn(200, generator=torch.Generator().manual_seed(0))}, {"epoch": 1})
    content = bytearray(checkpoint.path.read_bytes())
    content[int(share * len(content))] ^= 1
    checkpoint.path.write_bytes(content)
    assert checkpoint.load() is None


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_makes_it_absent(tmp_path: Path, kept: int) -> None:
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save(TENSORS, {})
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:kept])
    assert checkpoint.load() is None


def test_a_failed_save_keeps_the_old_one_and_leaves_nothing(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save({"a": torch.zeros(1)}, {"epoch": 1})
    with pytest.raises(TypeError):
        checkpoint.save({"a": torch.zeros(1)}, {"epoch": object()})
    loaded = checkpoint.load()
    assert loaded is not None and loaded[1] == {"epoch": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_generators_depend_on_seed_epoch_and_purpose_alone() -> None:
    def draw(*arguments: int | str) -> float:
        seed, epoch, *names = arguments
        assert isinstance(seed, int) and isinstance(epoch, int)
        return float(torch.rand(1, generator=epoch_generator(seed, epoch, *map(str, names))))

    assert draw(1, 2, "order") == draw(1, 2, "order")
    assert (
        len({draw(1, 2, "order"), draw(2, 2, "order"), draw(1, 3, "order"), draw(1, 2, "mask"), draw(1, 2)})
        == 5
    )
    assert derive_seed(1, "ab", "c") != derive_seed(1, "a", "bc")
    assert 0 <= derive_seed(7, "x") < 2**63


def test_an_optimiser_goes_on_as_if_nothing_had_happened() -> None:
    def step(parameter: torch.Tensor, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        (parameter**2).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    whole = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimiser = torch.optim.AdamW([whole], lr=0.1)
    for _ in range(3):
        step(whole, optimiser)
    resumed = torch.nn.Parameter(whole.detach().clone())
    other = torch.optim.AdamW([resumed], lr=0.1)
    restore_optimiser(other, {**optimiser_tensors(optimiser), "weights": torch.zeros(1)})
    for _ in range(3):
        step(whole, optimiser)
        step(resumed, other)
    assert torch.equal(whole, resumed)


def test_loaded_tensors_lie_where_fresh_ones_do(tmp_path: Path) -> None:
    """Matrix products may round by the address of their operands: a resumed fit would end with other bits."""
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    checkpoint.save({f"part{size}": torch.ones(size) for size in (1, 3, 7, 5)}, {"epoch": 1})
    loaded = checkpoint.load()
    assert loaded is not None
    assert {tensor.data_ptr() % 64 for tensor in loaded[0].values()} == {0}
