"""What a corpus would give, found before anything is started: recognised, sampled, and judged for training.

Needs no server, no catalogue and no home. A sample of the files is probed as ingestion probes all of them; of the others only
presence and size are looked at.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mer.clips import CorpusEntry, Split
from mer.corpora.account import CorpusAccount
from mer.corpora.options import ReadingOptions
from mer.errors import CorpusError, MediaError, QuarantineReason
from mer.training.feasibility import Feasibility, fold_problem, training_feasibility

if TYPE_CHECKING:
    from mer.media.contained import ContainedMedia
    from mer.recipes import Recipe

SAMPLE = 32
"""Files that are probed where not all are: a second or two."""
_SHOWN = 10


@dataclass(frozen=True)
class RefusedFile:
    """A clip that cannot be used as it is."""

    name: str
    reason: QuarantineReason
    detail: str


@dataclass(frozen=True)
class CorpusCheck:
    """What ingestion and training would find."""

    root: Path
    account: CorpusAccount
    probed: int
    """Files that were opened."""
    refused: tuple[RefusedFile, ...]
    """Clips that cannot be used, of those that were probed, are absent or empty, or were left out by the reader."""
    feasibility: Feasibility
    remarks: tuple[str, ...]
    """What the recipe reads and the corpus lacks, a line each."""

    @property
    def usable(self) -> bool:
        """False where not one clip of the corpus can be used, as far as is known."""
        refused = {file.name for file in self.refused}
        return self.account.clips > 0 and len(refused) < self.account.clips + sum(
            self.account.left_out.values()
        )

    def lines(self) -> list[str]:
        """The account and the verdicts as text, one fact a line."""
        clips = self.account.clips
        looked = (
            "all files were opened" if self.probed >= clips else f"{self.probed} of {clips} files were opened"
        )
        rest = (
            "" if self.probed >= clips else ", of the others only name and size are known (--all opens all)"
        )
        lines = [*self.account.lines(), f"{looked}{rest}"]
        if self.refused:
            counts = Counter(file.reason.value for file in self.refused)
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
            lines.append(f"cannot be used: {reasons}")
            lines += [f"  {file.name}: {file.reason.value}: {file.detail}" for file in self.refused[:_SHOWN]]
            if (more := len(self.refused) - _SHOWN) > 0:
                lines.append(f"  and {more} more")
        lines += self.remarks
        if not self.usable:
            return lines
        lines += self.feasibility.remarks
        lines.append(
            f"training: not possible: {self.feasibility.problem}"
            if self.feasibility.problem
            else "training: possible"
        )
        return lines


def check_corpus_folder(
    root: Path, recipe: Recipe, options: ReadingOptions, sample: int | None = SAMPLE
) -> CorpusCheck:
    """Recognise the corpus at `root`, look at its files, and say what the recipe could learn from it.

    Args:
        root: folder of the corpus.
        recipe: whose emotions, streams and gate count.
        options: how the corpus is read.
        sample: files that are opened; None: all.

    Raises:
        CorpusError: it cannot be read as a whole, or holds no clip.
    """
    from mer.corpora import recognise
    from mer.corpora.account import account_of
    from mer.media.contained import ContainedMedia
    from mer.validation.check import check_corpus

    recognised = recognise(root, emotions=recipe.emotions, options=options)
    entries = recognised.entries
    if not entries:
        raise CorpusError(_nothing(recognised.root, [item.detail for item in recognised.left_out]))
    chosen = list(entries) if sample is None else sampled(entries, sample)
    workers = min(len(chosen), os.cpu_count() or 1) or 1
    with ContainedMedia(workers) as contained, ThreadPoolExecutor(workers) as pool:
        probing = [pool.submit(_refusal, entry, recipe.needs_sound, contained) for entry in chosen]
        check_corpus(entries, recipe.emotions)  # meanwhile: what it needs takes a second to import
        seen = {entry.name for entry in chosen}
        refused = [
            *(RefusedFile(item.name, item.reason, item.detail) for item in recognised.left_out),
            *(found for future in probing if (found := future.result()) is not None),
            *(
                found
                for entry in entries
                if entry.name not in seen and (found := _unread(entry, recipe.needs_sound)) is not None
            ),
        ]
    account = account_of(recognised)
    without = {file.name for file in refused}
    usable = [entry for entry in entries if entry.name not in without]
    training = [entry for entry in usable if entry.split not in (Split.TEST, Split.CANARY)]
    return CorpusCheck(
        root=recognised.root,
        account=account,
        probed=len(chosen),
        refused=tuple(refused),
        feasibility=_feasibility(training, recipe),
        remarks=tuple(_lacking(recipe, account, usable)),
    )


def _feasibility(training: Sequence[CorpusEntry], recipe: Recipe) -> Feasibility:
    """What can be learnt from these clips, and whether folds that keep their speakers apart leave something to learn from."""
    from mer.training.folds import outer_folds

    judged = training_feasibility(
        [entry.emotion for entry in training],
        [entry.speaker for entry in training],
        recipe.emotions,
        least_compared=recipe.gate.min_clips,
    )
    if judged.problem is not None:
        return judged
    labelled = [entry for entry in training if entry.emotion is not None]
    published = [entry.fold for entry in labelled if entry.fold is not None]
    plan = recipe.folds
    if not plan.use_published or len(published) < len(labelled):
        speakers, names = [entry.speaker for entry in labelled], [entry.name for entry in labelled]
        published = outer_folds(speakers, names, plan.count, plan.seed).tolist()
    problem = fold_problem(published, [entry.emotion for entry in labelled])
    return judged if problem is None else Feasibility(problem)


def sampled(entries: Sequence[CorpusEntry], most: int) -> list[CorpusEntry]:
    """At most `most` clips in their order: one of every suffix and the smallest files first, then evenly over all."""
    if most == 0 or len(entries) <= most:
        return list(entries[:most])
    chosen: dict[str, CorpusEntry] = {}
    by_size = sorted(entries, key=lambda entry: (_size(entry.media), entry.name))
    of_suffix = {entry.media.suffix.lower(): entry for entry in entries}
    step = len(entries) / most
    spread = [entries[int(number * step)] for number in range(most)]
    for entry in (*list(of_suffix.values())[: most // 4], *by_size[: most // 8], by_size[-1], *spread):
        if len(chosen) < most:
            chosen.setdefault(entry.name, entry)
    return sorted(chosen.values(), key=lambda entry: entry.name)


def _refusal(entry: CorpusEntry, require_audio: bool, contained: ContainedMedia) -> RefusedFile | None:
    """Why ingestion would not take a clip; None where it would."""
    from mer.media.probe import require_streams

    if entry.precomputed:
        return _unread(entry, require_audio)
    try:
        require_streams(contained.probe(entry.media), audio=require_audio, video=False)
    except MediaError as error:
        return RefusedFile(entry.name, error.reason, str(error))
    return None


def _unread(entry: CorpusEntry, require_audio: bool) -> RefusedFile | None:
    """The same as far as it can be told without opening a file."""
    if entry.precomputed and require_audio:
        from mer.corpora.feature_files import without_sound

        return RefusedFile(entry.name, QuarantineReason.NO_AUDIO, without_sound(entry.name))
    for path in entry.precomputed or (entry.media,):
        if (size := _size(path)) < 0:
            return RefusedFile(
                entry.name, QuarantineReason.MISSING_MEDIA, f"{path.name}: there is no such file"
            )
        if size == 0:
            return RefusedFile(entry.name, QuarantineReason.EMPTY_FILE, f"{path.name} is empty")
    return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _lacking(recipe: Recipe, account: CorpusAccount, usable: Sequence[CorpusEntry]) -> Iterator[str]:
    """What streams of the recipe read and these clips do not have."""
    spoken = sum(bool(entry.transcript) for entry in usable)
    for name, stream in recipe.streams.items():
        features = stream.features
        if features.precomputed:
            source = features.source.partition(":")[2]
            if source not in account.feature_sets:
                there = ", ".join(account.feature_sets) or "none"
                yield f"stream {name} reads the precomputed features {source}, which the corpus lacks (there: {there})"
        elif features.reads_text and features.recogniser is None and spoken < len(usable):
            yield (
                f"stream {name} reads transcripts, which {len(usable) - spoken} of {len(usable)} clips lack; a recogniser "
                f"(--set {name}.features.recogniser=wheel:moonshine-tiny) listens to them"
            )
        elif not features.reads_text and account.clips == account.without_media:
            yield (
                f"stream {name} reads media, and all clips consist of precomputed features: leave it out (--set {name}=null) and "
                f"name a stream of these (--set 'streams.NAME={{modality: {stream.modality}, features: {{source: "
                '"files:SET"}}\')'
            )


def _nothing(root: Path, details: Sequence[str]) -> str:
    first = f"; left out, for example: {details[0]}" if details else ""
    return (
        f"{root}: expected clips (media files, or precomputed features) and labels, found {len(details) or 'no'} usable "
        f"{'entries, of which none can be used' if details else 'entry'}{first}"
    )
