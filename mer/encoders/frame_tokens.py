"""Which of a frame's tokens make its vector."""

from __future__ import annotations

from typing import Literal

Tokens = Literal["class", "patches", "sum", "last", "all"]
"""One vector a frame out of its tokens: the class token (the mean of patches where an encoder has none), the
mean of patches, or the sum of all tokens (MERTools' DINOv2 and data2vec-vision features). Of text: its own tokens
(`class`), or the `last` one alone. `all` tokens as they are, one after the other, is what adaptation goes on from."""
