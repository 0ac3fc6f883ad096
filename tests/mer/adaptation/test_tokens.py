"""Towers of pictures and text are adapted by the machinery of speech: fit, save, load, refuse, and start from label words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

from mer.adaptation.adapted_block import AdaptedBlock
from mer.adaptation.block import Block
from mer.adaptation.finetune import LabelledFrames, adapt, adapted_features, load_adapter, save_adapter
from mer.adaptation.token_config import PictureAdaptation, TextAdaptation
from mer.clips import Clip
from mer.encoders.placement import Placement
from mer.encoders.weights import ResolvedWeights, resolve_weights
from mer.errors import ConfigError, WeightsError
from mer.features.dataset import RaggedTable, ragged_of
from mer.features.extract import build_extractor, extract_clips
from mer.features.layered import base_identity, load_layers
from mer.features.spec import FeatureSpec
from mer.training.fit_masks import FitMasks

CLIPS, CLASSES, LAYERS = 72, 3, 4
LABELS = np.arange(CLIPS) % CLASSES
TRAIN = np.arange(CLIPS) < 48
MASKS = FitMasks(TRAIN, ~TRAIN)
PROMPT = "w3 {text} w4"


def awake(model: nn.Module) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def llama(folder: Path) -> str:
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=4,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    awake(transformers.LlamaForCausalLM(config)).save_pretrained(folder)
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{one}": one for one in range(3, 60)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w59"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=40
    ).save_pretrained(folder)
    return str(folder)


def tower(folder: Path) -> str:
    torch.manual_seed(2)
    config = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=2, image_size=32,
        patch_size=16, projection_dim=8,
    )  # fmt: skip
    awake(transformers.CLIPVisionModelWithProjection(config)).save_pretrained(folder)
    values = {"image_processor_type": "CLIPImageProcessor", "size": {"height": 32, "width": 32}}
    values |= {"do_resize": True, "do_center_crop": False, "do_rescale": True, "do_normalize": False}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return str(folder)


def texts() -> list[Clip]:
    """Which of three words a text holds tells its class, whatever else it holds."""
    rng = np.random.default_rng(4)
    clips = []
    for number, label in enumerate(LABELS):
        words = [f"w{one}" for one in rng.integers(20, 59, size=int(rng.integers(1, 4)))]
        words.insert(int(rng.integers(0, len(words) + 1)), f"w{10 + label}")
        path = Path(f"{number}.wav")
        clips.append(
            Clip(
                content=f"id{number}",
                name=f"c{number}",
                path=path,
                corpus_root=path.parent,
                transcript=" ".join(words),
            )
        )
    return clips


@pytest.fixture(scope="module")
def lexical(tmp_path_factory: pytest.TempPathFactory) -> tuple[FeatureSpec, ResolvedWeights, RaggedTable]:
    """A causal model under a prompt, and hidden state 1 of every token of every text."""
    folder = tmp_path_factory.mktemp("llama")
    spec = FeatureSpec(modality="lexical", source=llama(folder / "model"), prompt=PROMPT)
    features = extract_clips(build_extractor(spec.prefix(1), folder, device="cpu"), texts())
    table = ragged_of([f"id{number}" for number in range(CLIPS)], features)
    return spec, resolve_weights(spec.source, folder), table


@pytest.fixture(scope="module")
def visual(tmp_path_factory: pytest.TempPathFactory) -> tuple[FeatureSpec, ResolvedWeights, RaggedTable]:
    """A tower of pictures, and hidden state 1 of every token; a bright corner tells the class."""
    folder = tmp_path_factory.mktemp("tower")
    spec = FeatureSpec(modality="visual", source=tower(folder / "model"))
    weights = resolve_weights(spec.source, folder)
    rng = np.random.default_rng(5)
    from mer.encoders.visual import load_visual

    encoder = load_visual(weights)
    rows = []
    for number, label in enumerate(LABELS):
        crops = rng.integers(0, 60, size=(1 + number % 3, 32, 32, 3), dtype=np.uint8)
        top, left = divmod(int(label), 2)
        crops[:, 16 * top : 16 * top + 16, 16 * left : 16 * left + 16] += 190
        states, _ = encoder.read(crops, (1,), output=False, tokens="all")
        rows.append(states[1].numpy())
    table = RaggedTable(
        clip_ids=tuple(f"id{number}" for number in range(CLIPS)),
        values=np.concatenate(rows),
        offsets=np.concatenate([[0], np.cumsum([len(one) for one in rows])]).astype(np.int64),
        present=np.arange(CLIPS) != 7,
    )
    return spec, weights, table


TEXT = TextAdaptation(
    rank=4, epochs=12, batch_size=8, learning_rate=1e-2, head_learning_rate=3e-2, patience=0
)
PICTURE = PictureAdaptation(
    rank=4, epochs=20, batch_size=8, learning_rate=5e-3, head_learning_rate=1e-2, patience=0
)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "dora", "bottleneck"])
@pytest.mark.parametrize("stream", ["lexical", "visual"])
def test_a_tower_learns_and_comes_back_as_it_was(
    stream: str, method: Literal["lora", "dora", "bottleneck"], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    spec, weights, table = request.getfixturevalue(stream)
    config = (TEXT if stream == "lexical" else PICTURE).model_copy(update={"method": method})
    block = Block(1, 3 if method == "lora" else LAYERS)
    encoder = load_layers(spec, weights)
    adaptation = adapt(encoder, block, LabelledFrames(table, LABELS, CLASSES), MASKS, config)
    first, best = adaptation.history[0], adaptation.history[adaptation.best_epoch]
    assert best["validation_waf"] > 0.7, adaptation.history
    assert adaptation.history[-1]["train_cross_entropy"] < first["train_cross_entropy"]
    assert (adaptation.history[-1]["train_reconstruction"] > 0) == (stream == "visual")
    save_adapter(tmp_path / "adapter", adaptation, base_identity(spec, weights), block, config)
    trained = AdaptedBlock(encoder, block, config, CLASSES)
    trained.load_small_tensors(adaptation.tensors)
    again = load_adapter(tmp_path / "adapter", load_layers(spec, weights), base_identity(spec, weights))
    features = adapted_features(again, table)
    np.testing.assert_array_equal(features.values, adapted_features(trained.eval(), table).values)
    assert features.values.shape == (CLIPS, 64)
    assert features.present.tolist() == table.present.tolist() and not features.values[~table.present].any()
    frozen = AdaptedBlock(encoder, block, config, CLASSES).eval()
    assert np.abs(features.values - adapted_features(frozen, table).values).max() > 0.05
    small = sum(path.stat().st_size for path in (tmp_path / "adapter").iterdir())
    assert small < 0.5 * sum(value.numel() * 4 for value in encoder.module.parameters())


@pytest.mark.parametrize(
    ("stream", "options"),
    [
        ("lexical", {"method": "ia3"}),
        ("visual", {"method": "ia3"}),
        ("lexical", {"method": "prompt"}),
        ("lexical", {"mask_weight": 0.1, "mask_probability": 0.2, "mask_target": "cluster", "clusters": 4}),
        ("visual", {"mask_target": "cluster", "clusters": 4}),
        ("visual", {"pooling": "attention"}),
        ("lexical", {"gradient_checkpointing": True}),
        ("visual", {"gradient_checkpointing": True}),
        ("visual", {"precision": "bf16"}),
        ("lexical", {"precision": "bf16", "time_masks": 1}),
    ],
    ids=str,
)
def test_what_speech_can_do_towers_can(
    stream: str, options: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    spec, weights, table = request.getfixturevalue(stream)
    config = (TEXT if stream == "lexical" else PICTURE).model_copy(update={"epochs": 2, **options})
    block = Block(1, 3)
    encoder = load_layers(spec, weights)
    frozen = adapted_features(AdaptedBlock(encoder, block, TEXT, CLASSES).eval(), table).values
    adaptation = adapt(encoder, block, LabelledFrames(table, LABELS, CLASSES), MASKS, config)
    assert (
        adaptation.history[-1]["train_cross_entropy"] < 1.6 and adaptation.history[-1]["skipped_steps"] == 0
    )
    save_adapter(tmp_path, adaptation, base_identity(spec, weights), block, config)
    loaded = load_adapter(tmp_path, load_layers(spec, weights), base_identity(spec, weights))
    moved = np.abs(adapted_features(loaded, table).values - frozen).max()
    assert 0.01 < moved < 100


@pytest.mark.parametrize("stream", ["lexical", "visual"])
def test_checkpointing_changes_no_step(stream: str, request: pytest.FixtureRequest) -> None:
    spec, weights, table = request.getfixturevalue(stream)
    config = (TEXT if stream == "lexical" else PICTURE).model_copy(update={"epochs": 1})
    fits = [
        adapt(
            load_layers(spec, weights), Block(1, LAYERS), LabelledFrames(table, LABELS, CLASSES), MASKS,
            config.model_copy(update={"gradient_checkpointing": kept}),
        )
        for kept in (False, True)
    ]  # fmt: skip
    for name, value in fits[0].tensors.items():
        torch.testing.assert_close(fits[1].tensors[name], value, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("change", [{"tokens": "last"}, {"prompt": "w5 {text}"}, {"prompt": None}])
def test_an_adapter_of_another_reading_is_refused(
    change: dict[str, Any], lexical: tuple[FeatureSpec, ResolvedWeights, RaggedTable], tmp_path: Path
) -> None:
    spec, weights, table = lexical
    config = TEXT.model_copy(update={"epochs": 1})
    adaptation = adapt(
        load_layers(spec, weights), Block(1, 2), LabelledFrames(table, LABELS, CLASSES), MASKS, config
    )
    save_adapter(tmp_path, adaptation, base_identity(spec, weights), Block(1, 2), config)
    other = spec.model_copy(update=change)
    with pytest.raises(WeightsError, match="trained on encoder"):
        load_adapter(tmp_path, load_layers(other, weights), base_identity(other, weights))


def test_the_vector_is_pooled_from_the_texts_own_words(
    lexical: tuple[FeatureSpec, ResolvedWeights, RaggedTable],
) -> None:
    """Untrained, the adapted vector is the frozen feature of the same state, mean and deviation."""
    spec, weights, table = lexical
    block = AdaptedBlock(load_layers(spec, weights), Block(1, 3), TEXT, CLASSES).eval()
    frozen = spec.model_copy(update={"layers": (3,), "pooling": "mean_std"})
    features = extract_clips(build_extractor(frozen, Path(spec.source).parent, device="cpu"), texts())
    wanted = np.stack([feature.values.reshape(-1) for feature in features])
    np.testing.assert_allclose(adapted_features(block, table).values, wanted, atol=1e-4)


def test_the_vector_is_pooled_from_the_class_tokens(
    visual: tuple[FeatureSpec, ResolvedWeights, RaggedTable],
) -> None:
    spec, weights, table = visual
    block = AdaptedBlock(load_layers(spec, weights), Block(1, 3), PICTURE, CLASSES).eval()
    encoder = load_layers(spec, weights)
    found = adapted_features(block, table).values
    for row in (0, 1, 2):
        rows = torch.from_numpy(table.values[table.offsets[row] : table.offsets[row + 1]])[None]
        with torch.inference_mode():
            state = encoder.run_layers(rows, torch.ones(rows.shape[:2], dtype=torch.bool), 1, 3)[-1]
        first = state[0, ::5].numpy()
        assert len(first) == 1 + row % 3
        wanted = np.concatenate([first.mean(axis=0), first.std(axis=0)])
        np.testing.assert_allclose(found[row], wanted, atol=1e-4)


def test_a_classifier_starts_from_label_words(
    lexical: tuple[FeatureSpec, ResolvedWeights, RaggedTable],
) -> None:
    """Before any step the head's logits are those of the language model for the words, at the last token of the prompt."""
    spec, weights, table = lexical
    spec = spec.model_copy(update={"tokens": "last"})
    encoder = load_layers(spec, weights, label_words=("w10", "w11", "w12"))
    config = TEXT.model_copy(
        update={"epochs": 1, "learning_rate": 1e-12, "head_learning_rate": 1e-12, "weight_decay": 0.0}
    )
    block = Block(1, LAYERS)
    adaptation = adapt(encoder, block, LabelledFrames(table, LABELS, CLASSES), MASKS, config)
    adapted = AdaptedBlock(encoder, block, config, CLASSES)
    adapted.load_small_tensors(adaptation.tensors)
    features = adapted_features(adapted.eval(), table)
    with torch.inference_mode():
        logits = adapted.head(torch.from_numpy(features.values)).numpy()
    model = transformers.AutoModelForCausalLM.from_pretrained(spec.source)
    for row, clip in enumerate(texts()[:5]):
        ids = [1, 3, *(int(word[1:]) for word in str(clip.transcript).split()), 4]
        with torch.inference_mode():
            wanted = model(input_ids=torch.tensor([ids])).logits[0, -1, 10:13].numpy()
        np.testing.assert_allclose(logits[row], wanted, atol=2e-3)
    with pytest.raises(ConfigError, match="last layer"):
        adapt(encoder, Block(1, 3), LabelledFrames(table, LABELS, CLASSES), MASKS, config)
    two = load_layers(spec, weights, label_words=("w10", "w11"))
    with pytest.raises(ConfigError, match="3 label words"):
        adapt(two, block, LabelledFrames(table, LABELS, CLASSES), MASKS, config)


@pytest.mark.parametrize("stream", ["lexical", "visual"])
def test_in_bf16_the_adapters_are_trained_in_full_precision(
    stream: str, request: pytest.FixtureRequest
) -> None:
    spec, weights, table = request.getfixturevalue(stream)
    config = (TEXT if stream == "lexical" else PICTURE).model_copy(update={"epochs": 1})
    encoder = load_layers(spec, weights, Placement("cpu", "bf16"))
    assert next(encoder.module.parameters()).dtype == torch.bfloat16
    adaptation = adapt(encoder, Block(1, LAYERS), LabelledFrames(table, LABELS, CLASSES), MASKS, config)
    assert {value.dtype for value in adaptation.tensors.values()} == {torch.float32}
    assert np.isfinite(adaptation.history[0]["train_cross_entropy"])


def test_a_piece_of_a_picture_is_refused(visual: tuple[FeatureSpec, ResolvedWeights, RaggedTable]) -> None:
    spec, weights, table = visual
    config = PICTURE.model_copy(update={"max_frames": 8})
    with pytest.raises(ConfigError, match="max_frames"):
        adapt(load_layers(spec, weights), Block(1, 2), LabelledFrames(table, LABELS, CLASSES), MASKS, config)
