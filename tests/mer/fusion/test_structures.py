"""Every structure equals the same formula written out frame by frame; masks and missing streams change nothing."""

from __future__ import annotations

import pytest
import torch
from naive_structures import Naive, clips_of
from stream_batches import WIDTHS, built, framewise, utterances
from torch import Tensor

from mer.fusion.config import BUILT_IN_MODELS
from mer.fusion.interface import FusionOutput

REFERENCED = ("early", "late", "token_attention", "afg_early", "afg_hierarchical", "afg_guided")
SEPARATE, JOINT = {"valence_decoding": "separate"}, {"valence_decoding": "joint"}


def assert_same(first: FusionOutput, second: FusionOutput, tolerance: float = 1e-10) -> None:
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


@pytest.mark.parametrize("options", [SEPARATE, JOINT], ids=["separate", "joint"])
@pytest.mark.parametrize("data", [framewise, utterances])
@pytest.mark.parametrize("name", REFERENCED)
def test_answers_and_gradients_are_those_of_a_loop_over_frames(
    name: str, data: object, options: dict[str, str]
) -> None:
    model = built(name, **options)
    inputs, present = data()  # type: ignore[operator]
    present["visual"][1] = False
    present["lexical"][3] = False
    answers = [Naive(model).heads(name, clip) for clip in clips_of(inputs, present)]
    logits, valence = (torch.stack(part) for part in zip(*answers, strict=True))
    weights = torch.linspace(-1, 2, logits.numel(), dtype=torch.float64).view_as(logits)
    (logits * weights).sum().add((valence**2).sum()).backward()  # type: ignore[no-untyped-call]
    expected = {part: value.grad for part, value in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    output = model(inputs, present)
    torch.testing.assert_close(output.emotion_logits, logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.valence, valence, atol=1e-5, rtol=0)
    (output.emotion_logits * weights).sum().add((output.valence**2).sum()).backward()  # type: ignore[no-untyped-call]
    for part, value in model.named_parameters():
        known = expected[part] if expected[part] is not None else torch.zeros_like(value)
        found = value.grad if value.grad is not None else torch.zeros_like(value)
        torch.testing.assert_close(found, known, atol=1e-5, rtol=0, msg=lambda text, p=part: f"{p}: {text}")


@pytest.mark.parametrize("name", BUILT_IN_MODELS)
def test_padding_changes_nothing(name: str) -> None:
    model = built(name, **JOINT).float()
    inputs, present = framewise()
    inputs = {stream: values.float() for stream, values in inputs.items()}
    whole = model(inputs, present)
    longer = {
        stream: values if values.ndim == 2 else torch.cat([values, torch.full_like(values, 1e4)], dim=1)
        for stream, values in inputs.items()
    }
    masks = {
        stream: mask if mask.ndim == 1 else torch.cat([mask, torch.zeros_like(mask)], dim=1)
        for stream, mask in present.items()
    }
    assert_same(model(longer, masks), whole, 1e-6)
    for row in range(5):
        alone = {stream: values[row : row + 1] for stream, values in inputs.items()}
        own = {stream: mask[row : row + 1] for stream, mask in present.items()}
        for stream, mask in own.items():
            if mask.ndim == 2:
                count = int(mask.sum())
                alone[stream], own[stream] = alone[stream][:, :count], mask[:, :count]
        assert_same(model(alone, own), FusionOutput(*(part[row : row + 1] for part in whole)), 1e-6)


@pytest.mark.parametrize("name", BUILT_IN_MODELS)
def test_permuting_padded_frames_changes_nothing(name: str) -> None:
    model = built(name)
    inputs, present = framewise()
    whole = model(inputs, present)
    generator = torch.Generator().manual_seed(4)
    for stream, values in inputs.items():
        if values.ndim == 3:
            for row in range(5):
                count = int(present[stream][row].sum())
                padding = values[row, count:].clone()
                values[row, count:] = padding[torch.randperm(len(padding), generator=generator)]
    assert_same(model(inputs, present), whole, 0)


@pytest.mark.parametrize("name", BUILT_IN_MODELS)
def test_padding_between_frames_is_padding_all_the_same(name: str) -> None:
    model = built(name)
    inputs, present = framewise()
    whole = model(inputs, present)
    spread: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    for stream, values in inputs.items():
        if values.ndim == 2:
            spread[stream], masks[stream] = values, present[stream]
        else:
            spread[stream] = torch.stack([torch.full_like(values, -3.0), values], dim=2).flatten(1, 2)
            own = present[stream]
            masks[stream] = torch.stack([torch.zeros_like(own), own], dim=2).flatten(1, 2)
    assert_same(model(spread, masks), whole)


@pytest.mark.parametrize("options", [SEPARATE, JOINT], ids=["separate", "joint"])
@pytest.mark.parametrize("missing", ["lexical", "visual", "acoustic/adapted"])
@pytest.mark.parametrize("name", [m for m in BUILT_IN_MODELS if m not in ("attention", "attention_softmax")])
def test_a_missing_stream_gives_the_model_without_it(
    name: str, missing: str, options: dict[str, str]
) -> None:
    model = built(name, **options)
    without = built(name, {n: w for n, w in WIDTHS.items() if n != missing}, **options)
    whole = dict(model.named_parameters())
    begin = sum(w for n, w in WIDTHS.items() if list(WIDTHS).index(n) < list(WIDTHS).index(missing))
    with torch.no_grad():
        for part, value in without.named_parameters():
            source = whole[part]
            if (
                source.shape != value.shape
            ):  # a layer over all streams side by side: the missing one's columns
                keep = [i for i in range(source.shape[1]) if not begin <= i < begin + WIDTHS[missing]]
                source = source[:, keep]
            value.copy_(source)
    inputs, present = framewise()
    present[missing] = torch.zeros_like(present[missing])
    inputs[missing] = torch.full_like(inputs[missing], float("nan"))
    first = model(inputs, present)
    del inputs[missing], present[missing]
    second = without(inputs, present)
    torch.testing.assert_close(first.emotion_logits, second.emotion_logits, atol=1e-10, rtol=0)
    torch.testing.assert_close(first.valence, second.valence, atol=1e-10, rtol=0)
    kept = [column for column, stream in enumerate(WIDTHS) if stream != missing]
    torch.testing.assert_close(first.modality_weights[:, kept], second.modality_weights, atol=1e-10, rtol=0)
    assert (first.modality_weights[:, list(WIDTHS).index(missing)] == 0).all()


@pytest.mark.parametrize("name", [m for m in BUILT_IN_MODELS if m != "attention"])
def test_the_streams_weights_sum_to_one(name: str) -> None:
    inputs, present = framewise()
    present["visual"][2] = False
    weights = built(name)(inputs, present).modality_weights
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(5, dtype=torch.float64))
    assert (weights >= 0).all() and weights[2, 2] == 0


@pytest.mark.parametrize("name", BUILT_IN_MODELS)
def test_a_clip_without_any_frame_has_a_finite_answer_and_gradient(name: str) -> None:
    model = built(name, **JOINT)
    inputs, present = framewise()
    for mask in present.values():
        mask[0] = False
    output = model(inputs, present)
    (output.emotion_logits.sum() + output.valence.sum()).backward()
    assert torch.isfinite(output.emotion_logits).all() and (output.modality_weights[0] == 0).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_a_guide_that_is_missing_leaves_the_learned_query() -> None:
    """With one modality only, S3's second pass is gathered by its own learned queries."""
    model = built("afg_guided", {"acoustic": 7, "acoustic/adapted": 4})
    inputs, present = framewise()
    own = {name: inputs[name] for name in ("acoustic", "acoustic/adapted")}
    masks = {name: present[name] for name in own}
    before = model(own, masks)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("query.weight"):
                value.fill_(9.0)
    assert_same(model(own, masks), before, 0)


def test_with_one_vector_per_modality_a_guide_has_nothing_to_choose() -> None:
    """S3 then computes what S2 does: an ensemble of both needs frames, or several streams in a modality."""
    widths = {"acoustic": 7, "visual": 5}
    inputs, present = utterances()
    single = {name: inputs[name] for name in widths}, {name: present[name] for name in widths}
    assert_same(built("afg_guided", widths)(*single), built("afg_hierarchical", widths)(*single))
    frames, masks = framewise()
    several = {name: frames[name] for name in widths}, {name: masks[name] for name in widths}
    guided = built("afg_guided", widths)(*several).emotion_logits
    assert not torch.allclose(guided, built("afg_hierarchical", widths)(*several).emotion_logits)
