"""The fusion structures written out clip by clip and frame by frame, from the formulas of their docstrings alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mer.fusion.interface import FusionModel

Clip = dict[str, list[Tensor]]
"""Stream -> its valid frames, each (width,); missing streams are left out."""


class Naive:
    """Reads a model's parameters by name; all arithmetic is its own."""

    def __init__(self, model: FusionModel) -> None:
        self.p = dict(model.named_parameters())
        self.streams = list(model.streams)
        self.widths = dict(model.shape.widths)

    def linear(self, name: str, x: Tensor) -> Tensor:
        y = self.p[f"{name}.weight"] @ x
        return y + self.p[f"{name}.bias"] if f"{name}.bias" in self.p else y

    def encode(self, name: str, x: Tensor) -> Tensor:
        return self.linear(f"{name}.1", x).clamp_min(0)

    def gather(self, name: str, frames: list[Tensor], guide: Tensor | None = None) -> Tensor:
        energies = []
        for x in frames:
            inner = self.linear(f"{name}.frames", x)
            if guide is not None:
                inner = inner + self.linear(f"{name}.query", guide)
            energies.append(self.linear(f"{name}.score", torch.tanh(inner))[0])
        total = sum(torch.exp(e) for e in energies)
        out = torch.zeros_like(frames[0])
        for e, x in zip(energies, frames, strict=True):
            out = out + torch.exp(e) / total * x
        return out

    def side_by_side(self, clip: Clip) -> list[Tensor]:
        longest = max(len(frames) for frames in clip.values())
        joined = []
        for t in range(longest):
            parts = []
            for name in self.streams:
                frames = clip.get(name)
                if frames is None:
                    parts.append(torch.zeros(self.widths[name], dtype=torch.float64))
                else:
                    parts.append(frames[(2 * t + 1) * len(frames) // (2 * longest)])
            joined.append(torch.cat(parts))
        return joined

    def by_modality(self, clip: Clip) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.streams:
            if name in clip:
                found.setdefault(name.split("/")[0], []).append(name)
        return found

    def summary(
        self, root: str, modality: str, streams: list[str], encoded: Clip, guide: Tensor | None
    ) -> Tensor:
        within = [self.gather(f"{root}.{modality}.within.{name}", encoded[name], guide) for name in streams]
        return self.gather(f"{root}.{modality}.across", within, guide)

    def fused(self, kind: str, clip: Clip) -> Tensor:
        if kind in ("early", "afg_early"):
            frames = [self.linear("encoder.linear", x).clamp_min(0) for x in self.side_by_side(clip)]
            return sum(frames) / len(frames) if kind == "early" else self.gather("gathering", frames)  # type: ignore[return-value]
        encoded = {
            name: [self.encode(f"encoders.{name}", x) for x in frames] for name, frames in clip.items()
        }
        if kind == "token_attention":
            return self.tokens(encoded)
        groups = self.by_modality(clip)
        summaries = {m: self.summary("modalities", m, names, encoded, None) for m, names in groups.items()}
        if kind == "afg_guided":
            guides: dict[str, Tensor | None] = {}
            for m in groups:
                others = [s for other, s in summaries.items() if other != m]
                guides[m] = sum(others) / len(others) if others else None  # type: ignore[assignment]
            summaries = {
                m: self.summary("guided", m, names, encoded, guides[m]) for m, names in groups.items()
            }
        return self.gather("across", list(summaries.values()))

    def tokens(self, encoded: Clip, heads: int = 4) -> Tensor:
        tokens = [x for name in self.streams for x in encoded.get(name, [])]
        width = len(tokens[0])
        size = width // heads
        projected = [self.linear("project", x) for x in tokens]
        mixed = []
        for own in projected:
            parts = []
            for h in range(heads):
                query = own[h * size : (h + 1) * size]
                scores = [
                    query @ other[width + h * size : width + (h + 1) * size] / size**0.5
                    for other in projected
                ]
                total = sum(torch.exp(s) for s in scores)
                values = [other[2 * width + h * size : 2 * width + (h + 1) * size] for other in projected]
                parts.append(sum(torch.exp(s) / total * v for s, v in zip(scores, values, strict=True)))
            mixed.append(self.linear("mix", torch.cat(parts)))  # type: ignore[arg-type]
        return self.gather("gathering", [x + y for x, y in zip(tokens, mixed, strict=True)])

    def heads(self, kind: str, clip: Clip) -> tuple[Tensor, Tensor]:
        if kind == "late":
            hidden = {}
            for name, frames in clip.items():
                hidden[name] = self.encode(f"encoders.{name}", sum(frames) / len(frames))  # type: ignore[arg-type, operator]
            logits = sum(self.linear(f"emotion.{n}", h) for n, h in hidden.items()) / len(hidden)
            valence = sum(self.linear(f"valence.{n}", h)[0] for n, h in hidden.items()) / len(hidden)
        else:
            z = self.fused(kind, clip)
            logits, valence = self.linear("emotion", z), self.linear("valence", z)[0]
        if "class_valence" in self.p:
            posterior = torch.exp(logits) / torch.exp(logits).sum()
            for c, share in enumerate(posterior):
                valence = valence + share * self.p["class_valence"][c]
        return logits, valence


def clips_of(inputs: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> list[Clip]:
    """A batch, clip by clip, without its padding."""
    count = len(next(iter(inputs.values())))
    clips: list[Clip] = []
    for row in range(count):
        clip: Clip = {}
        for name, values in inputs.items():
            if values.ndim == 2:
                frames = [values[row]] if present[name][row] else []
            else:
                frames = [x for x, valid in zip(values[row], present[name][row], strict=True) if valid]
            if frames:
                clip[name] = frames
        clips.append(clip)
    return clips
