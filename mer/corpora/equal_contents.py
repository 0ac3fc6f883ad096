"""Samples of equal content: which labels contradict each other, and which training samples are tested on elsewhere.

A sample is a name in a corpus; its content is the hash of its media (or of its feature files). Equal content is no error: every
name stays a sample and is predicted. Two things cannot stand, though, and are decided here by content alone, never by the order
of rows: labels that contradict each other teach nothing until somebody settles them, and a model that was trained on a content
is not tested on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mer.clips import Split
from mer.errors import CorpusError

EVALUATED = frozenset({Split.TEST, Split.CANARY})
"""Splits whose contents nobody trains on. Not `unlabelled`: nothing is judged there, and a training sample that left because an
unlabelled one equals it would be a label lost for nothing (the unlabelled copy follows its content in every view instead)."""

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class SampleFacts:
    """What decides about a sample among its equals."""

    name: str
    """Within the corpus, distinct."""
    content: str
    """Hash of its content; empty where nothing is known of it: such a sample equals no other."""
    emotion: str | None
    valence: float | None
    """None or NaN where missing."""
    split: Split

    @property
    def labelled(self) -> bool:
        """Whether its corpus says anything of it that can be learnt."""
        return self.emotion is not None or _known(self.valence)

    def __str__(self) -> str:
        valence = [f"valence {self.valence:g}"] if self.valence is not None and _known(self.valence) else []
        label = ", ".join([self.emotion, *valence] if self.emotion is not None else valence)
        return f"{self.name} ({label or 'no label'}, {self.split.value})"


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Samples of one content of which at least two have different emotions, or different valences."""

    content: str
    samples: tuple[SampleFacts, ...]
    """All of this content, by name; those without label among them."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """Labelled training samples whose content is evaluated on under other names."""

    content: str
    training: tuple[SampleFacts, ...]
    """By name; they leave training."""
    evaluated: tuple[SampleFacts, ...]
    """By name, of test and canary; they stay what they are."""


@dataclass(frozen=True, kw_only=True)
class EqualContents:
    """What equal contents change about a corpus; both lists are ordered by the first name in them."""

    shared: int
    """Samples whose content at least one other sample has."""
    conflicts: tuple[Conflict, ...]
    leaks: tuple[Leak, ...]

    @cached_property
    def unlabelled(self) -> frozenset[str]:
        """Names whose labels (emotion and valence) count for nothing until they are settled, in every split."""
        return frozenset(
            sample.name for conflict in self.conflicts for sample in conflict.samples if sample.labelled
        )

    @cached_property
    def not_trained(self) -> frozenset[str]:
        """Names of training samples that nothing is trained on; they stay samples, predicted and listed."""
        return frozenset(sample.name for leak in self.leaks for sample in leak.training)

    def lines(self, most: int = _SHOWN) -> list[str]:
        """What was found, for people: a line on each kind, then at most `most` groups of it; none where nothing is to be said."""
        lines: list[str] = []
        if self.conflicts:
            lines.append(
                f"equal content, different labels: {len(self.unlabelled)} clips count as unlabelled until settled (give all "
                "clips of a line one label, or remove what is wrong)"
            )
            lines += _listed([", ".join(map(str, conflict.samples)) for conflict in self.conflicts], most)
        if self.leaks:
            lines.append(
                f"equal content in training and evaluation: {len(self.not_trained)} training clips are not trained on "
                "(they are predicted all the same)"
            )
            lines += _listed(
                [
                    f"{', '.join(map(str, leak.training))} = {', '.join(map(str, leak.evaluated))}"
                    for leak in self.leaks
                ],
                most,
            )
        return lines


def resolve_equal(rows: Iterable[SampleFacts]) -> EqualContents:
    """Find what equal contents decide: labels to settle, and training samples that leave training.

    Args:
        rows: all samples of a corpus, in any order.

    Raises:
        CorpusError: a name occurs twice.
    """
    ordered = sorted(rows, key=lambda row: row.name)
    by_content: dict[str, list[SampleFacts]] = {}
    for previous, row in zip([None, *ordered], ordered, strict=False):
        if previous is not None and previous.name == row.name:
            raise CorpusError(f"equal contents: expected every name once, found {row.name!r} twice")
        if row.content:
            by_content.setdefault(row.content, []).append(row)
    groups = [group for group in by_content.values() if len(group) > 1]
    return EqualContents(
        shared=sum(map(len, groups)),
        conflicts=tuple(
            Conflict(content=group[0].content, samples=tuple(group)) for group in groups if _contradict(group)
        ),
        leaks=tuple(leak for group in groups if (leak := _leak(group)) is not None),
    )


def _contradict(group: Sequence[SampleFacts]) -> bool:
    emotions = {row.emotion for row in group if row.emotion is not None}
    valences = {row.valence for row in group if _known(row.valence)}
    return len(emotions) > 1 or len(valences) > 1


def _leak(group: Sequence[SampleFacts]) -> Leak | None:
    training = tuple(row for row in group if row.split is Split.TRAIN and row.labelled)
    evaluated = tuple(row for row in group if row.split in EVALUATED)
    if not training or not evaluated:
        return None
    return Leak(content=group[0].content, training=training, evaluated=evaluated)


def _known(valence: float | None) -> bool:
    return valence is not None and not math.isnan(valence)


def _listed(groups: Sequence[str], most: int) -> list[str]:
    more = [f"  and {len(groups) - most} more groups"] if len(groups) > most else []
    return [*(f"  {group}" for group in groups[:most]), *more]
