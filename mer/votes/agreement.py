"""How far the annotators of a corpus agree, and what the best of models could reach at most: their own agreement."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mer.evaluation.metrics import accuracy, confusion, waf
from mer.votes.alpha import alpha_of_counts, krippendorff_alpha
from mer.votes.vote import Vote, heaviest, majority, weights_of


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of annotators. None: nothing can be said (no clip with two votes, or all say the same)."""

    clips: int
    """With any vote."""
    clips_with_several: int
    """Of these, with at least two votes on the emotion."""
    votes: int
    """On emotions, counted ones with their number."""
    annotators: int | None
    """Different ones; None: their names are not known."""
    ties: int
    """Clips with votes and no emotion that has most of them: unlabelled."""
    unanimous: int
    """Of `clips_with_several`, clips of one emotion."""
    alpha: float | None
    """Krippendorff's alpha of emotions, nominal."""
    alpha_valence: float | None
    """The same of valence, interval."""
    ceiling_accuracy: float | None
    """Human ceiling: share of votes that name the emotion with most of the others' votes on the same clip."""
    ceiling_waf: float | None
    """The same as weighted F1: others' emotion is the truth, the vote the prediction."""
    ceiling_votes: int
    """Votes on clips where the others agree on an emotion."""
    by_annotator: Mapping[str, tuple[int, int]]
    """Annotator -> (votes that name what most of the others name, votes that were compared)."""

    def lines(self) -> list[str]:
        """The figures as text, one fact a line."""
        who = (
            "annotators whose names are not known"
            if self.annotators is None
            else f"{self.annotators} annotators"
        )
        said = [f"votes: {self.votes} of {who} on {self.clips} clips; {self.ties} ties, which are unlabelled"]
        if self.alpha is not None:
            said.append(
                f"agreement: Krippendorff's alpha {self.alpha:.3f} over {self.clips_with_several} clips with several votes, "
                f"{self.unanimous} unanimous" + self._valence()
            )
        if self.ceiling_accuracy is not None and self.ceiling_waf is not None:
            said.append(
                f"human ceiling: one vote against most of the others' {self.ceiling_accuracy:.3f} accuracy, "
                f"{self.ceiling_waf:.3f} WAF (weighted F1), {self.ceiling_votes} votes"
            )
        return said

    def _valence(self) -> str:
        return "" if self.alpha_valence is None else f"; valence {self.alpha_valence:.3f} (interval)"


def agreement_of(votes: Mapping[str, Sequence[Vote]], emotions: Sequence[str]) -> Agreement | None:
    """Agreement on the clips of a corpus; None: nobody voted.

    An annotator who gives a clip several emotions counts by the heaviest, and not at all where there is a tie.

    Args:
        votes: clip -> its votes.
        emotions: classes in index order; empty: those of the votes.
    """
    voted = {name: list(own) for name, own in votes.items() if own}
    if not voted:
        return None
    classes = list(emotions) or sorted(
        {vote.emotion for own in voted.values() for vote in own if vote.emotion}
    )
    says = {name: _one_each(own) for name, own in voted.items()}
    counts = np.array(
        [[says_of.total[emotion] for emotion in classes] for says_of in says.values()], np.float64
    )
    several = counts.sum(axis=1) > 1
    compared = [entry for says_of in says.values() for entry in _against_the_others(says_of, classes)]
    truth, said = (np.array([entry[i] for entry in compared], dtype=np.int64) for i in (0, 1))
    matrix = confusion(truth, said, len(classes)) if compared else None
    by_annotator: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for others, own, who in compared:
        if who is not None:
            by_annotator[who][0] += others == own
            by_annotator[who][1] += 1
    names = {vote.annotator for own in voted.values() for vote in own}
    return Agreement(
        clips=len(voted),
        clips_with_several=int(several.sum()),
        votes=int(counts.sum()),
        annotators=None if None in names else len(names),
        ties=sum(bool(weights_of(own)) and majority(own) is None for own in voted.values()),
        unanimous=int(((counts > 0).sum(axis=1) == 1)[several].sum()),
        alpha=_known(alpha_of_counts(counts, np.arange(len(classes), dtype=np.float64))),
        alpha_valence=_alpha_of_valence(list(voted.values())),
        ceiling_accuracy=None if matrix is None else float(accuracy(matrix)),
        ceiling_waf=None if matrix is None else float(waf(matrix)),
        ceiling_votes=len(compared),
        by_annotator={who: (right, count) for who, (right, count) in sorted(by_annotator.items())},
    )


@dataclass(frozen=True)
class _Says:
    """One emotion for each who voted on a clip."""

    named: Mapping[str, str]
    """Annotator -> emotion."""
    total: Counter[str]
    """Emotion -> votes, counted ones among them."""


def _one_each(votes: Sequence[Vote]) -> _Says:
    by_annotator: defaultdict[str, list[Vote]] = defaultdict(list)
    total: Counter[str] = Counter()
    for vote in votes:
        if vote.annotator is not None:
            by_annotator[vote.annotator].append(vote)
        elif vote.emotion is not None and float(vote.weight).is_integer():  # shares say not how many voted
            total[vote.emotion] += int(vote.weight)
    named = {who: one for who, own in by_annotator.items() if (one := majority(own)) is not None}
    total.update(named.values())
    return _Says(named, total)


def _against_the_others(says: _Says, classes: Collection[str]) -> list[tuple[int, int, str | None]]:
    """(class of most of the others' votes, class of this vote, annotator) of every vote that has others who agree."""
    place = {emotion: index for index, emotion in enumerate(classes)}
    unnamed = says.total - Counter(says.named.values())
    one_by_one: list[tuple[str, str | None]] = [(emotion, who) for who, emotion in says.named.items()]
    one_by_one += [(emotion, None) for emotion in unnamed.elements()]
    found = []
    for emotion, who in one_by_one:
        others = heaviest({name: float(count) for name, count in (says.total - Counter([emotion])).items()})
        if others is not None and emotion in place and others in place:
            found.append((place[others], place[emotion], who))
    return found


def _alpha_of_valence(clips: Sequence[Sequence[Vote]]) -> float | None:
    who = sorted(
        {
            vote.annotator
            for own in clips
            for vote in own
            if vote.annotator is not None and vote.valence is not None
        }
    )
    if len(who) < 2:
        return None
    ratings = np.full((len(who), len(clips)), np.nan)
    for unit, own in enumerate(clips):
        for vote in own:
            if vote.annotator is not None and vote.valence is not None:
                ratings[who.index(vote.annotator), unit] = vote.valence
    return _known(krippendorff_alpha(ratings, "interval"))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
