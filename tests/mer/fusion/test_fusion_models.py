from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from mer.errors import ConfigError
from mer.fusion.config import BUILT_IN_MODELS, FusionConfig
from mer.fusion.interface import FusionModel, FusionShape, build_fusion
from mer.fusion.streams import drop_streams
from mer.training.seeding import SeededDropout, initialise, seed_dropout

WIDTHS = {"acoustic": 7, "visual": 5, "lexical": 3}
MODELS = BUILT_IN_MODELS


def built(name: str) -> FusionModel:
    config = FusionConfig.model_validate({"model": name, "hidden": 8})
    model = build_fusion(FusionShape(WIDTHS, 4), config)
    initialise(model, torch.Generator().manual_seed(1))
    return model.eval()


def batch(count: int = 6) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(count, width, generator=generator) for name, width in WIDTHS.items()}
    return inputs, {name: torch.ones(count, dtype=torch.bool) for name in WIDTHS}


def test_the_baseline_is_the_challenges_formula() -> None:
    """Written out from MERTools: three linear layers with ReLU per stream, raw weights, weighted sum, two
    heads.
    """
    model = built("attention")
    inputs, present = batch()
    weights = dict(model.named_parameters())

    def mlp(prefix: str, values: torch.Tensor) -> torch.Tensor:
        for layer in (1, 3, 5):
            values = functional.relu(
                values @ weights[f"{prefix}.{layer}.weight"].T + weights[f"{prefix}.{layer}.bias"]
            )
        return values

    hidden = [mlp(f"encoders.{name}", inputs[name]) for name in WIDTHS]
    alpha = mlp("attention", torch.cat(hidden, dim=1)) @ weights["weigh.weight"].T + weights["weigh.bias"]
    fused = sum(alpha[:, i : i + 1] * hidden[i] for i in range(3))
    assert isinstance(fused, torch.Tensor)
    output = model(inputs, present)
    torch.testing.assert_close(output.modality_weights, alpha)
    torch.testing.assert_close(
        output.emotion_logits, fused @ weights["emotion.weight"].T + weights["emotion.bias"]
    )
    torch.testing.assert_close(
        output.valence, (fused @ weights["valence.weight"].T + weights["valence.bias"])[:, 0]
    )


def test_softmax_weights_sum_to_one_over_the_present_streams() -> None:
    inputs, present = batch()
    present["visual"][:3] = False
    weights = built("attention_softmax")(inputs, present).modality_weights
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(6))
    assert (weights[:3, 1] == 0).all() and (weights[3:] > 0).all()


def test_every_query_attends_over_the_present_streams_by_itself() -> None:
    """Written out clip by clip and query by query."""
    config = FusionConfig(model="attention_queries", hidden=8, queries=3)
    model = build_fusion(FusionShape(WIDTHS, 4), config)
    initialise(model, torch.Generator().manual_seed(2))
    model.eval()
    weights = dict(model.named_parameters())
    inputs, present = batch()
    present["visual"][:3] = False
    output = model(inputs, present)
    for clip in range(6):
        there = [name for name in WIDTHS if present[name][clip]]
        hidden = {}
        for name in there:
            value = inputs[name][clip]
            for layer in (1, 3, 5):
                own = f"encoders.{name}.{layer}"
                value = functional.relu(weights[f"{own}.weight"] @ value + weights[f"{own}.bias"])
            hidden[name] = value
        keys = {
            name: torch.tanh(weights["key.weight"] @ value + weights["key.bias"])
            for name, value in hidden.items()
        }
        heads, shares = [], []
        for query in weights["query.weight"]:
            raised = torch.stack([torch.exp(query @ keys[name] / 8**0.5) for name in there])
            alpha = raised / raised.sum()
            shares.append(alpha)
            heads.append(sum(a * hidden[name] for a, name in zip(alpha, there, strict=True)))
        joined = torch.cat([torch.as_tensor(head) for head in heads])
        fused = functional.relu(weights["mix.weight"] @ joined + weights["mix.bias"])
        expected = weights["emotion.weight"] @ fused + weights["emotion.bias"]
        torch.testing.assert_close(output.emotion_logits[clip], expected)
        mean = torch.stack(shares).mean(dim=0)
        torch.testing.assert_close(output.modality_weights[clip][[name in there for name in WIDTHS]], mean)
        assert not torch.allclose(shares[0], shares[1], atol=1e-4), "the queries are all the same"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("missing", list(WIDTHS))
def test_the_values_of_a_missing_stream_do_not_matter(name: str, missing: str) -> None:
    model = built(name)
    inputs, present = batch()
    whole = model(inputs, present)
    present[missing] = present[missing].clone()
    present[missing][2] = False
    first = model(inputs, present)
    inputs[missing] = inputs[missing].clone()
    inputs[missing][2] = float("nan")
    second = model(inputs, present)
    assert torch.equal(first.emotion_logits, second.emotion_logits) and torch.equal(
        first.valence, second.valence
    )
    assert not torch.allclose(whole.emotion_logits[2], first.emotion_logits[2])
    others = [0, 1, 3, 4, 5]
    torch.testing.assert_close(whole.emotion_logits[others], first.emotion_logits[others])


@pytest.mark.parametrize("name", MODELS)
def test_a_clip_without_any_stream_has_a_finite_answer(name: str) -> None:
    inputs, present = batch(1)
    output = built(name)(inputs, {stream: torch.zeros(1, dtype=torch.bool) for stream in present})
    assert torch.isfinite(output.emotion_logits).all() and (output.modality_weights == 0).all()


def test_stream_dropout_never_takes_the_last_stream() -> None:
    present = {name: torch.ones(4000, dtype=torch.bool) for name in WIDTHS}
    present["lexical"][:2000] = False
    present["visual"][:1000] = False
    present["acoustic"][:500] = False
    kept = drop_streams(present, 0.5, torch.Generator().manual_seed(0))
    for name in WIDTHS:
        assert not (kept[name] & ~present[name]).any()
    number = torch.stack(list(kept.values())).sum(dim=0)
    assert (number[:500] == 0).all() and (number[500:] >= 1).all()
    share = torch.stack(list(kept.values()))[:, 2000:].float().mean()
    assert 0.5 < share < 0.58  # a half, and what was rescued
    assert torch.equal(drop_streams(present, 0.0, torch.Generator())["visual"], present["visual"])


def test_dropout_draws_from_its_own_generator_only() -> None:
    dropout = SeededDropout(0.4).train()
    values = torch.ones(2000)
    outcomes = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)
        seed_dropout(dropout, torch.Generator().manual_seed(3))
        outcomes.append(dropout(values))
    assert torch.equal(*outcomes)
    assert abs(float((outcomes[0] == 0).float().mean()) - 0.4) < 0.04
    torch.testing.assert_close(outcomes[0].max(), torch.tensor(1 / 0.6))
    assert torch.equal(dropout.eval()(values), values)


def test_unknown_models_and_empty_shapes_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="expected one of attention, attention_softmax, attention_queries, concat"
    ):
        build_fusion(FusionShape(WIDTHS, 4), FusionConfig.model_construct(model="magic"))
    with pytest.raises(ConfigError, match="at least 2 classes"):
        build_fusion(FusionShape(WIDTHS, 1), FusionConfig())
