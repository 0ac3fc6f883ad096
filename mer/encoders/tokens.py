"""Transcripts as token ids, with the special tokens marked: they are in no feature."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from mer.encoders.families import TOKENIZERS, model_type
from mer.encoders.weight_files import read_json
from mer.encoders.weights import ResolvedWeights
from mer.errors import ConfigError, WeightsError

VOCABULARIES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model", "spm.model",
    "tokenizer.model",
)  # fmt: skip
"""Files that hold a vocabulary; one of them must be there."""


@dataclass(frozen=True)
class TokenIds:
    """A text as a model reads it."""

    ids: list[int]
    words: list[bool]
    """False at special tokens (BOS, CLS, SEP)."""
    cut: bool = False
    """The text was longer than the limit."""


def unknown_words(tokens: TokenIds, unknown_id: int | None) -> int:
    """How many of a text's own tokens stand for something that the vocabulary lacks; `unknown_id` is the token that does."""
    return sum(word and token == unknown_id for token, word in zip(tokens.ids, tokens.words, strict=True))


class Tokenizer(Protocol):
    """Text to token ids, never more than the limit."""

    @property
    def unknown_id(self) -> int | None:
        """The token that stands for whatever the vocabulary lacks; None where it spells everything (bytes)."""
        ...

    def __call__(self, text: str, max_tokens: int) -> TokenIds:
        """Tokenise one text; special tokens count toward the limit."""
        ...


class FastTokenizer:
    """A tokenizer of transformers that the `tokenizers` library backs.

    Args:
        tokenizer: PreTrainedTokenizerFast.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        model = tokenizer.backend_tokenizer.model
        token = tokenizer.unk_token or getattr(model, "unk_token", None)
        self.unknown_id: int | None = None if token is None else tokenizer.convert_tokens_to_ids(token)
        self._lock = Lock()  # where it is cut is state of the tokenizer

    def __call__(self, text: str, max_tokens: int) -> TokenIds:
        """See `Tokenizer`."""
        with self._lock:
            encoded = self._tokenizer(
                text, truncation=True, max_length=max_tokens, return_special_tokens_mask=True
            )
        words = [special == 0 for special in encoded["special_tokens_mask"]]
        return TokenIds(list(encoded["input_ids"]), words, cut=bool(encoded.encodings[0].overflowing))


class SentencePieces:
    """`tokenizer.model` by sentencepiece itself; BOS in front where tokenizer_config.json asks for it.

    Args:
        folder: the checkpoint.

    Raises:
        WeightsError: the file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.model"
        sentencepiece: Any = import_module("sentencepiece")
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise WeightsError(f"{path}: not a sentencepiece model: {error}") from error
        # true is the default of Baichuan's own tokenizer class; its published configurations say false
        add_bos = read_json(folder / "tokenizer_config.json").get("add_bos_token", True)
        self._start = [int(self._pieces.bos_id())] if add_bos else []
        self.unknown_id: int | None = int(self._pieces.unk_id())

    def __call__(self, text: str, max_tokens: int) -> TokenIds:
        """See `Tokenizer`."""
        ids = [*self._start, *self._pieces.encode(text)]
        truncated = ids[:max_tokens]
        words = [position >= len(self._start) for position in range(len(truncated))]
        return TokenIds(truncated, words, cut=len(ids) > len(truncated))


def check_vocabulary(folder: Path) -> None:
    """Check that there is a vocabulary, and what reads it.

    Raises:
        WeightsError: no vocabulary (transformers would build an empty tokenizer, to which every word is unknown),
            or only sentencepiece's and that package is not installed.
    """
    present = [name for name in VOCABULARIES if (folder / name).is_file()]
    if not present:
        raise WeightsError(f"{folder}: expected a tokenizer ({', '.join(VOCABULARIES)}), found none")
    if all(name.endswith(".model") for name in present) and find_spec("sentencepiece") is None:
        raise WeightsError(
            f"{folder / present[0]}: expected the package sentencepiece to read it, found none; pip install "
            "sentencepiece, or put a tokenizer.json beside it"
        )


def load_tokenizer(resolved: ResolvedWeights) -> Tokenizer:
    """Tokenizer of a text encoder, without its weights.

    Raises:
        ConfigError: not a supported text encoder.
        WeightsError: the tokenizer cannot be read.
    """
    kind = model_type(resolved)
    assert resolved.folder is not None
    if kind not in TOKENIZERS:
        raise ConfigError(
            f"{resolved.source}: expected a text encoder of type {', '.join(TOKENIZERS)}, found {kind!r}"
        )
    check_vocabulary(resolved.folder)
    tokenizer: Tokenizer = TOKENIZERS.load(kind)(resolved)
    return tokenizer


def fast_tokenizer(resolved: ResolvedWeights) -> Any:
    """PreTrainedTokenizerFast of a checkpoint. Raises WeightsError where it cannot be read."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            resolved.folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError) as error:
        raise WeightsError(f"{resolved.source}: no usable tokenizer: {error}") from error
    if not tokenizer.is_fast:
        raise WeightsError(f"{resolved.source}: expected tokenizer.json (a fast tokenizer), found none")
    return tokenizer


def pretrained_tokenizer(resolved: ResolvedWeights) -> Tokenizer:
    """Tokenizer of a checkpoint that transformers has a class for. Raises WeightsError where it cannot be read."""
    return FastTokenizer(fast_tokenizer(resolved))


def tokenizer_beside(resolved: ResolvedWeights) -> Tokenizer:
    """Tokenizer of a checkpoint that transformers has no class for. Raises WeightsError: see `native_tokenizer`."""
    assert resolved.folder is not None
    return native_tokenizer(resolved.folder)


def native_tokenizer(folder: Path) -> Tokenizer:
    """Tokenizer of a checkpoint that transformers has no class for.

    Raises:
        WeightsError: neither tokenizer.json nor tokenizer.model, or a damaged one.
    """
    if (folder / "tokenizer.json").is_file():
        from transformers import PreTrainedTokenizerFast

        try:
            return FastTokenizer(PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json")))
        except Exception as error:  # the Rust library raises no narrower type
            raise WeightsError(f"{folder / 'tokenizer.json'}: not a tokenizer: {error}") from error
    if (folder / "tokenizer.model").is_file():
        return SentencePieces(folder)
    raise WeightsError(f"{folder}: expected a tokenizer (tokenizer.json or tokenizer.model), found none")
