"""Which clips must stay together in any division of a corpus: those of one speaker, and those of equal content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mer.errors import ConfigError


def fold_groups(
    speakers: Sequence[str | None], clip_ids: Sequence[str], contents: Sequence[str] = ()
) -> list[str]:
    """Name of the group of every clip: the connected components of speakers and contents.

    A group is called after the first of its speakers by name (`speaker:<name>`); without a known speaker after its content
    (`content:<hash>`), and where that is not known after the clip (`clip:<name>`). A name stays when other groups come or go, and
    when members leave that are not the first; speakers who share a content are one group only while they share it.

    Where all clips would be one group (one speaker, or all linked by shared contents), speakers cannot be told apart, and groups
    are the contents: nothing speaker-independent exists there.

    Args:
        speakers: (N,) speaker per clip; None = unknown: it links the clip to nobody.
        clip_ids: (N,) distinct names.
        contents: (N,) content per clip, empty where unknown; or none at all.

    Raises:
        ConfigError: lengths that differ.
    """
    count = len(clip_ids)
    if len(speakers) != count or len(contents) not in {0, count}:
        raise ConfigError(
            f"folds: expected {count} of each, found {len(speakers)} speakers, {len(contents)} contents"
        )
    alone = [
        f"content:{contents[row]}" if contents and contents[row] else f"clip:{clip_id}"
        for row, clip_id in enumerate(clip_ids)
    ]
    spoken = [None if speaker is None else f"speaker:{speaker}" for speaker in speakers]
    named = _components(zip(spoken, alone, strict=True))
    groups = [named[item] for item in alone]
    return groups if len(set(groups)) > 1 else alone


def _components(links: Iterable[tuple[str | None, str]]) -> dict[str, str]:
    """Name of the component of every item; a link (None, item) only says that there is such an item."""
    root: dict[str, str] = {}

    def find(item: str) -> str:
        while root.setdefault(item, item) != item:
            root[item] = root[root[item]]
            item = root[item]
        return item

    for speaker, item in links:
        if speaker is None:
            find(item)
            continue
        speaker_root, item_root = find(speaker), find(item)
        # speakers before contents and clips, then by name: the root of a component is what it is called after
        first, second = sorted(
            (speaker_root, item_root), key=lambda name: (not name.startswith("speaker:"), name)
        )
        root[second] = first
    return {item: find(item) for item in list(root)}
