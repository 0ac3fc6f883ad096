"""The audio-guided transformer: equal to a loop over clips, tokens and heads; every part off; any modality missing."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from naive_structures import Clip, Naive, clips_of
from stream_batches import WIDTHS, built, framewise, utterances
from torch import Tensor

from mer.fusion.config import FusionConfig
from mer.fusion.interface import FusionModel
from mer.fusion.models.audio_guided import AudioGuidedTransformer
from mer.fusion.models.masked_attention import MaskedAttention

PARTS = ("intra_channel", "inter_channel", "guidance", "residual", "adaptive_gate")
WHOLE: dict[str, object] = {"layers": 2}
GUIDED: list[dict[str, object]] = [{"guide": "visual"}, {"guide": "olfactory"}]
VARIANTS: list[dict[str, object]] = [WHOLE, *({part: False} for part in PARTS), *GUIDED]


class NaiveAudioGuided(Naive):
    """The formulas of the module's docstring, token by token."""

    def __init__(self, model: FusionModel) -> None:
        super().__init__(model)
        assert isinstance(model, AudioGuidedTransformer)
        self.options = model.options

    @staticmethod
    def norm(x: Tensor) -> Tensor:
        centred = x - x.mean()
        return centred / ((centred**2).mean() + 1e-5) ** 0.5

    def attend(self, name: str, query: Tensor, keys: list[Tensor], heads: int = 4) -> Tensor:
        size = len(query) // heads
        asked = self.linear(f"{name}.query", query)
        parts = []
        for h in range(heads):
            own = slice(h * size, (h + 1) * size)
            scores = torch.stack([asked[own] @ self.linear(f"{name}.key", k)[own] / size**0.5 for k in keys])
            weights = torch.exp(scores) / torch.exp(scores).sum()
            parts.append(
                sum(w * self.linear(f"{name}.value", k)[own] for w, k in zip(weights, keys, strict=True))
            )
        return self.linear(f"{name}.mix", torch.cat(parts))  # type: ignore[arg-type]

    def block(
        self, name: str, queries: list[Tensor], keys: list[Tensor], residuals: list[Tensor]
    ) -> list[Tensor]:
        out = []
        for query, residual in zip(queries, residuals, strict=True):
            u = self.norm(residual + self.attend(f"{name}.attention", query, keys))
            out.append(
                self.norm(u + self.linear(f"{name}.narrow", self.linear(f"{name}.widen", u).clamp_min(0)))
            )
        return out

    def fused(self, kind: str, clip: Clip) -> Tensor:
        tokens = {}
        for modality, streams in self.by_modality(clip).items():
            own = [self.encode(f"encoders.{name}", x) for name in streams for x in clip[name]]
            layer = 0
            while f"within.{modality}.{layer}.widen.bias" in self.p:
                own = self.block(f"within.{modality}.{layer}", own, own, own)
                layer += 1
            tokens[modality] = own
        nothing = [torch.zeros_like(next(iter(tokens.values()))[0])]
        guide = tokens.get(self.options.guide, nothing)
        pooled = {}
        for modality, own in tokens.items():
            if f"across.{modality}.widen.bias" in self.p:
                queries = guide if self.options.guidance else [torch.zeros_like(x) for x in guide]
                residuals = guide if self.options.residual else [torch.zeros_like(x) for x in guide]
                own = self.block(f"across.{modality}", queries, own, residuals)
            pooled[modality] = sum(own) / len(own)
        if not self.options.adaptive_gate:
            return sum(pooled.values()) / len(pooled)  # type: ignore[return-value, arg-type]
        inner = self.p["gate.bias"]
        for modality, x in pooled.items():
            inner = inner + self.linear(f"gate.read.{modality}", x)  # type: ignore[arg-type]
        scores = {m: torch.exp(self.linear(f"gate.score.{m}", inner.clamp_min(0))[0]) for m in pooled}
        return sum(scores[m] / sum(scores.values()) * x for m, x in pooled.items())  # type: ignore[return-value]


def batch_with_gaps(data: object) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Every clip but the first lacks something; the last two have no audio."""
    inputs, present = data()  # type: ignore[operator]
    for row, names in (
        (1, ("visual",)), (2, ("lexical",)), (3, ("acoustic", "acoustic/adapted")),
        (4, ("acoustic", "acoustic/adapted", "visual")),
    ):  # fmt: skip
        for name in names:
            present[name][row] = False
    return inputs, present


@pytest.mark.parametrize("options", VARIANTS, ids=["whole", *PARTS, "by the face", "by nothing"])
@pytest.mark.parametrize("data", [framewise, utterances])
def test_answers_and_gradients_are_those_of_a_loop(data: object, options: dict[str, object]) -> None:
    model = built("audio_guided", valence_decoding="joint", audio_guided=options)
    with torch.no_grad():
        bias = model.get_parameter("gate.bias") if options != {"adaptive_gate": False} else None
        if bias is not None:
            bias.copy_(torch.linspace(-1, 1, len(bias)))
    inputs, present = batch_with_gaps(data)
    answers = [NaiveAudioGuided(model).heads("audio_guided", clip) for clip in clips_of(inputs, present)]
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
        known, found = expected[part], value.grad
        known = torch.zeros_like(value) if known is None else known
        found = torch.zeros_like(value) if found is None else found
        torch.testing.assert_close(found, known, atol=1e-5, rtol=0, msg=lambda text, p=part: f"{p}: {text}")


@pytest.mark.parametrize("masked", [0, 3, 5])
def test_fused_attention_is_the_explicit_one(masked: int) -> None:
    torch.manual_seed(0)
    attention = MaskedAttention(8).double()
    queries, keys = torch.randn(2, 4, 8).double(), torch.randn(2, 5, 8).double()
    mask = torch.ones(2, 5).double()
    mask[0, 5 - masked :] = 0
    fused = attention(queries, keys, mask)
    values = attention._split(attention.value(keys))
    explicit = attention.mix((attention.weights(queries, keys, mask) @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(fused, explicit, atol=1e-12, rtol=0)
    assert torch.isfinite(fused).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_modalities_missing_give_a_finite_answer_of_the_others(count: int) -> None:
    model = built("audio_guided")
    inputs, present = framewise()
    whole = model(inputs, present)
    for gone in combinations(("acoustic", "visual", "lexical"), count):
        lost = [name for name in WIDTHS if name.split("/")[0] in gone]
        masks = {n: torch.zeros_like(m) if n in lost else m for n, m in present.items()}
        values = {n: torch.full_like(v, torch.nan) if n in lost else v for n, v in inputs.items()}
        output = model(values, masks)
        assert torch.isfinite(output.emotion_logits).all()
        assert not torch.allclose(output.emotion_logits, whole.emotion_logits)
        assert all((output.modality_weights[:, list(WIDTHS).index(name)] == 0).all() for name in lost)
        total = output.modality_weights.sum(dim=1)
        torch.testing.assert_close(total, torch.full_like(total, float(count < 3)))


def test_without_audio_it_is_the_model_that_never_had_any() -> None:
    model, without = built("audio_guided"), built("audio_guided", {"visual": 5, "lexical": 3})
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in without.named_parameters():
            value.copy_(own[name])
    inputs, present = framewise()
    for name in ("acoustic", "acoustic/adapted"):
        present[name] = torch.zeros_like(present[name])
    first = model(inputs, present)
    kept = ("visual", "lexical")
    second = without({n: inputs[n] for n in kept}, {n: present[n] for n in kept})
    torch.testing.assert_close(first.emotion_logits, second.emotion_logits, atol=1e-10, rtol=0)
    torch.testing.assert_close(first.modality_weights[:, 2:], second.modality_weights, atol=1e-10, rtol=0)


def test_the_guide_is_whatever_modality_is_named() -> None:
    """Guided by the face it is the model guided by the audio with the two modalities exchanged."""
    assert FusionConfig.model_validate({"audio_guided": {"layers": 2}}).audio_guided.guide == "acoustic"
    exchanged = {"acoustic": "visual", "visual": "acoustic", "lexical": "lexical"}
    by_face = built("audio_guided", {n: WIDTHS[n] for n in exchanged}, audio_guided={"guide": "visual"})
    by_audio = built("audio_guided", {exchanged[n]: WIDTHS[n] for n in exchanged})
    parameters = dict(by_face.named_parameters())
    assert any(name.startswith("across.acoustic") for name in parameters)
    assert not any(name.startswith("across.visual") for name in parameters)
    with torch.no_grad():
        for name, value in by_audio.named_parameters():
            value.copy_(parameters[".".join(exchanged.get(part, part) for part in name.split("."))])
    inputs, present = framewise()
    first = by_face({n: inputs[n] for n in exchanged}, {n: present[n] for n in exchanged})
    second = by_audio(
        {exchanged[n]: inputs[n] for n in exchanged}, {exchanged[n]: present[n] for n in exchanged}
    )
    torch.testing.assert_close(first.emotion_logits, second.emotion_logits, atol=1e-10, rtol=0)


@pytest.mark.parametrize("part", PARTS)
def test_every_switch_changes_the_answer(part: str) -> None:
    inputs, present = framewise()
    whole, without = built("audio_guided"), built("audio_guided", audio_guided={part: False})
    own = dict(whole.named_parameters())
    with torch.no_grad():
        for name, value in without.named_parameters():
            value.copy_(own[name])
    first, second = whole(inputs, present).emotion_logits, without(inputs, present).emotion_logits
    assert not torch.allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_it_keeps_the_type_of_its_inputs(dtype: torch.dtype) -> None:
    model = built("audio_guided")
    inputs, present = batch_with_gaps(framewise)
    exact = model(inputs, present).emotion_logits
    output = model.to(dtype)({name: values.to(dtype) for name, values in inputs.items()}, present)
    assert output.emotion_logits.dtype == output.modality_weights.dtype == dtype
    tolerance = 0.15 if dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(output.emotion_logits.double(), exact, atol=tolerance, rtol=0)
