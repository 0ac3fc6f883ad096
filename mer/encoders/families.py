"""Kinds of encoders and where their code is, by `model_type` of the weights. Imports neither torch nor a model."""

from __future__ import annotations

from mer.encoders.weight_files import read_json
from mer.encoders.weights import ResolvedWeights
from mer.errors import ConfigError
from mer.implementations import Implementations

BAICHUAN = "baichuan"
"""`model_type` of all four checkpoints of Baichuan."""
SEEDED = "seed"
"""Stands for encoders of pictures that a seed initialises."""

WAV2VEC_TYPES = ("hubert", "wav2vec2", "wavlm", "data2vec-audio")
CLIP_TYPES = ("clip", "clip_vision_model")
SIGLIP_TYPES = ("siglip", "siglip_vision_model")
CLASS_TOKEN_TYPES = ("vit", "deit", "beit", "dinov2", "data2vec-vision")
TEXT_TYPES = (
    "bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "electra", "albert", "deberta", "deberta-v2",
)  # fmt: skip
CAUSAL_TYPES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "phi3", "olmo2", BAICHUAN)

SPEECH = Implementations(
    {
        "moonshine": "mer.encoders.moonshine:load_moonshine",
        **dict.fromkeys(WAV2VEC_TYPES, "mer.encoders.wav2vec_family:load_wav2vec"),
        "whisper": "mer.encoders.whisper:load_whisper",
    }
)
"""Loaders (weights, placement) of speech encoders."""
PICTURES = Implementations(
    {
        **dict.fromkeys(CLIP_TYPES, "mer.encoders.pictures:load_clip"),
        **dict.fromkeys(SIGLIP_TYPES, "mer.encoders.pictures:load_siglip"),
        **dict.fromkeys(CLASS_TOKEN_TYPES, "mer.encoders.pictures:load_class_token"),
        "videomae": "mer.encoders.videomae:load_videomae",
        "mini_xception": "mer.encoders.mini_xception:load_mini_xception",
        SEEDED: "mer.encoders.visual:load_seeded",
    }
)
"""Loaders (weights, placement) of encoders of pictures and of video."""
TEXT = Implementations(
    {
        **dict.fromkeys((*TEXT_TYPES, *CAUSAL_TYPES), "mer.encoders.lexical:load_pretrained"),
        BAICHUAN: "mer.encoders.baichuan:load_baichuan_text",
    }
)
"""Loaders (weights, placement, prompt) of text encoders."""
TOKENIZERS = Implementations(
    {
        **dict.fromkeys((*TEXT_TYPES, *CAUSAL_TYPES), "mer.encoders.tokens:pretrained_tokenizer"),
        BAICHUAN: "mer.encoders.tokens:tokenizer_beside",
    }
)
"""Tokenizers (weights) of text encoders, for what needs no model."""
_OF_MODALITY = {"acoustic": SPEECH, "visual": PICTURES, "lexical": TEXT}


def model_type(resolved: ResolvedWeights) -> str:
    """`model_type` of the weights' configuration.

    Raises:
        ConfigError: the source has no weights (`crops:`, `sound:`, `files:`, `seed:`).
    """
    if resolved.folder is None:
        raise ConfigError(f"{resolved.source}: expected an encoder with weights, found a source without")
    return str(read_json(resolved.folder / "config.json").get("model_type", ""))


def encoder_implementations(modality: str, resolved: ResolvedWeights) -> tuple[str, ...]:
    """Where the loader of these weights is; nothing for weights that no loader takes (loading says so)."""
    if resolved.folder is None and not resolved.source.startswith("seed:"):
        return ()
    table = _OF_MODALITY[modality]
    kind = SEEDED if resolved.folder is None else model_type(resolved)
    return (table[kind],) if kind in table else ()


def tokenizer_implementations(resolved: ResolvedWeights) -> tuple[str, ...]:
    """Where the tokenizer of these weights is; nothing for weights that are of no text encoder (loading says so)."""
    kind = model_type(resolved)
    return (TOKENIZERS[kind],) if kind in TOKENIZERS else ()


def modality_of(resolved: ResolvedWeights) -> str:
    """Modality that an encoder of these weights reads.

    Raises:
        ConfigError: no encoder (`crops:`, `sound:`, `files:`), or of a kind that no loader takes.
    """
    seeded = resolved.folder is None and resolved.source.startswith("seed:")
    kind = SEEDED if seeded else model_type(resolved)
    for modality, table in _OF_MODALITY.items():
        if kind in table:
            return modality
    known = sorted(name for table in _OF_MODALITY.values() for name in table)
    raise ConfigError(
        f"{resolved.source}: expected an encoder of model_type {', '.join(known)}, found {kind or 'none'}"
    )
