"""The audit of a protocol: all findings, part by part, and what they flatter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.audit.findings import Finding, in_both, missing_classes, related, shared
from mer.audit.fingerprints import near_equal
from mer.audit.inflation import Inflation, inflation
from mer.audit.protocol import Protocol
from mer.audit.sounds import HeardClip


@dataclass(frozen=True)
class Audit:
    """What was looked at, and what is wrong."""

    clips: int
    parts: tuple[str, ...]
    looked_at: tuple[str, ...]
    """What could be compared, for people."""
    not_looked_at: tuple[str, ...]
    """And what could not, with the reason."""
    findings: tuple[Finding, ...]
    inflation: Inflation | None

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """One fact a line, for people."""
        lines = [f"{self.clips} clips, {', '.join(self.parts)}", f"looked at: {', '.join(self.looked_at)}"]
        lines += [f"not looked at: {reason}" for reason in self.not_looked_at]
        lines += [finding.text for finding in self.findings]
        if self.inflation is not None:
            found = self.inflation
            lines.append(
                f"a cheap baseline (logistic regression on band energies) is right in {found.accuracy:.3f} of {found.clips} "
                f"test clips; without the {found.removed:.0%} of training clips that are related to them, in "
                f"{found.without:.3f}: the leak is "
                f"worth {found.gain:+.3f} ({found.low:+.3f} to {found.high:+.3f}, 95 %)"
            )
        if not self.findings:
            lines.append("nothing is shared between training and test clips")
        return lines


def audit_protocol(
    protocol: Protocol,
    contents: Sequence[str] = (),
    sounds: Sequence[HeardClip | None] = (),
) -> Audit:
    """Audit a protocol.

    Args:
        protocol: of N clips.
        contents: (N,) hashes of their files, empty where there is none; empty: those of the lists.
        sounds: (N,) what is heard of them, None where nothing is; empty: no sound was looked at.
    """
    clips = protocol.clips
    parts = protocol.parts
    told = {
        "speaker": [clip.speaker for clip in clips],
        "source": [clip.source for clip in clips],
        "content": list(contents) or [clip.content for clip in clips],
        "listed_twice": [clip.name for clip in clips],
    }
    pairs = near_equal([_prints(sound) for sound in sounds]) if len(sounds) else np.zeros((0, 2), np.int64)
    hashes = told["content"]
    new = [pair for pair in pairs.tolist() if not hashes[pair[0]] or hashes[pair[0]] != hashes[pair[1]]]
    pairs = np.array(new, dtype=np.int64).reshape(-1, 2)  # equal files are a finding of their own
    findings: list[Finding] = []
    names = [clip.name for clip in clips]
    for part in parts:
        findings += in_both(clips, part)
        for kind, values in told.items():
            findings += shared(values, part, kind)
        findings += related(pairs, names, part, "near_content")
        findings += missing_classes([clip.emotion for clip in clips], part)
    known = {kind: any(values) for kind, values in told.items()}
    looked, unlooked = _account(known, bool(len(sounds)))
    return Audit(
        clips=len(clips),
        parts=tuple(part.title for part in parts),
        looked_at=looked,
        not_looked_at=unlooked,
        findings=tuple(findings),
        inflation=_inflation(protocol, told, pairs, sounds) if findings and len(sounds) else None,
    )


def _inflation(
    protocol: Protocol,
    told: Mapping[str, Sequence[str]],
    pairs: NDArray[np.int64],
    sounds: Sequence[HeardClip | None],
) -> Inflation | None:
    width = next(len(sound.figures) for sound in sounds if sound is not None)
    figures = np.stack([np.zeros(width) if sound is None else sound.figures for sound in sounds])
    relations = [_codes(told[kind]) for kind in ("speaker", "source", "content", "listed_twice")]
    relations.append(_components(pairs, len(sounds)))
    return inflation(
        figures,
        ["" if sound is None else clip.emotion for clip, sound in zip(protocol.clips, sounds, strict=True)],
        told["speaker"],
        protocol.parts,
        relations,
    )


def _prints(sound: HeardClip | None) -> NDArray[np.uint32]:
    return np.zeros(0, dtype=np.uint32) if sound is None else sound.prints


def _codes(values: Sequence[str]) -> NDArray[np.int64]:
    _, codes = np.unique(np.array(values, dtype=np.str_), return_inverse=True)
    known = np.array([bool(value) for value in values], dtype=np.bool_)
    return np.where(known, codes, -1).astype(np.int64)


def _components(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(count,) clips that pairs connect have one code, others -1."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    codes = np.full(count, -1, dtype=np.int64)
    if len(pairs):
        links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
        labels = connected_components(links, directed=False)[1]
        paired = np.unique(pairs)
        codes[paired] = labels[paired]
    return codes


def _account(known: Mapping[str, bool], heard: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    looked: list[str] = ["classes", "names"]
    unlooked: list[str] = []
    for kind, words, missing in (
        ("speaker", "speakers", "speakers: no clip names one (column speaker)"),
        ("source", "recordings", "recordings: no clip names what it was cut from (column source)"),
        ("content", "contents of files", "contents: there are no files, and the list has no hashes"),
    ):
        (looked if known[kind] else unlooked).append(words if known[kind] else missing)
    (looked if heard else unlooked).append(
        "sounds" if heard else "near-equal sounds and what leaks are worth: no sound was read"
    )
    return tuple(looked), tuple(unlooked)
