"""The account of a recognised corpus: what it is, what is in it, what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mer.clips import Split
from mer.corpora.reading import RecognisedCorpus
from mer.votes.agreement import Agreement, agreement_of


@dataclass(frozen=True, kw_only=True)
class CorpusAccount:
    """Counts that add up: `clips` + all of `left_out` is every name the corpus has."""

    format: str
    clips: int
    without_media: int
    """Clips made of precomputed features."""
    splits: Mapping[str, int]
    parts: Mapping[str, int]
    """Test clips by named part; empty where the corpus names none."""
    labels: Mapping[str, int]
    """Clips by emotion, in class order."""
    valences: int
    transcripts: int
    speakers: int
    left_out: Mapping[str, int]
    """Names by reason code."""
    feature_sets: tuple[str, ...]
    notes: tuple[str, ...]
    agreement: Agreement | None = None
    """Of the annotators; None: the corpus has no votes."""

    def lines(self) -> list[str]:
        """The account as text, one fact a line."""
        labels = ", ".join(f"{emotion} {count}" for emotion, count in self.labels.items()) or "none"
        parts = ", ".join(f"{part} {count}" for part, count in self.parts.items())
        splits = ", ".join(
            f"{count} {split}" + (f": {parts}" if parts and split == Split.TEST else "")
            for split, count in self.splits.items()
        )
        lines = [
            f"recognised as {self.format}: {self.clips} clips ({splits})",
            f"labels: {labels}; {self.valences} with valence",
            f"{self.transcripts} transcripts, {self.speakers} speakers",
        ]
        if self.feature_sets:
            lines.append(f"precomputed features (source files:<name>): {', '.join(self.feature_sets)}")
        if self.left_out:
            reasons = ", ".join(f"{reason} {count}" for reason, count in self.left_out.items())
            lines.append(f"left out: {reasons}")
        if self.agreement is not None:
            lines += self.agreement.lines()
        return [*lines, *self.notes]


def account_of(corpus: RecognisedCorpus) -> CorpusAccount:
    """Count what is in a corpus."""
    entries = corpus.entries
    labels = Counter(entry.emotion for entry in entries)
    splits = Counter(entry.split for entry in entries)
    parts = Counter(entry.part for entry in entries if entry.part is not None)
    return CorpusAccount(
        format=corpus.format,
        clips=len(entries),
        without_media=sum(bool(entry.precomputed) for entry in entries),
        splits={split.value: splits[split] for split in Split if splits[split]},
        labels={emotion: labels[emotion] for emotion in corpus.emotions if labels[emotion]},
        parts=dict(sorted(parts.items())),
        valences=sum(entry.valence is not None for entry in entries),
        transcripts=sum(bool(entry.transcript) for entry in entries),
        speakers=len({entry.speaker for entry in entries} - {None}),
        left_out=dict(sorted(Counter(item.reason.value for item in corpus.left_out).items())),
        feature_sets=corpus.feature_sets,
        notes=corpus.notes,
        agreement=agreement_of({entry.name: entry.votes for entry in entries}, corpus.emotions),
    )
