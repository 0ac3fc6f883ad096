"""Paths or a table of clips -> clips that extractors and models read; and a folder -> a table of its clips."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mer.clips import Clip
from mer.corpora import recognise
from mer.corpora.emotion_set import AUTO_EMOTIONS, emotions_of
from mer.corpora.options import ReadingOptions
from mer.emotions import EMOTION_SETS
from mer.errors import ConfigError
from mer.library.arrays import described, is_missing
from mer.library.paths import path_of
from mer.media.content_hash import sha256_file

if TYPE_CHECKING:
    import pandas

WEIGHTS_CACHE = Path("~/.cache/mer/weights")
"""Where converted weights of encoders are kept, unless the caller says where."""

_EMOTIONS = ", ".join((AUTO_EMOTIONS, *EMOTION_SETS))
COLUMNS = ("name", "path", "emotion", "valence", "speaker", "transcript", "split", "fold")


def read_clips(
    folder: str | Path,
    emotions: str | Sequence[str] = "mer",
    *,
    label_map: Mapping[str, str | None] | None = None,
    format: str = "auto",
    valence_scale: tuple[float, float] | None = None,
    text_column: str = "",
) -> pandas.DataFrame:
    """A folder of clips as a table, one row a clip, sorted by name.

    Which layout the folder has is found out: a table (`labels.csv`) beside media, folders of classes, MERTools, MER2023 to
    MER2026, MMSA, MELD, IEMOCAP, EmoBox, RAVDESS, CREMA-D, EMO-DB, or a bare folder of media (docs/corpora.md).
    No media file is decoded.

    Args:
        folder: root of the corpus.
        emotions: an emotion set by name (`mer`, `ravdess`) or as a list, into which the corpus' labels are mapped; `auto`: the
            labels themselves.
        label_map: the corpus' own label -> a member of `emotions`, or None for no label.
        format: name of the layout, where it is not to be found out.
        valence_scale: lowest and highest value of the scale that the valences of a table are written on, (1, 9); they become
            -5 to 5.
        text_column: column of the transcripts, where there are several.

    Returns:
        Columns name, path (of the media file), emotion, valence (-5 to 5), speaker, transcript, split (`train`, `test`,
        `unlabelled`, `canary`), fold; what is not known is None or NaN. `attrs` has the corpus' `name`, `format`, `emotions`,
        `notes`, and `left_out` (clip -> reason).

    Raises:
        ConfigError: no such emotion set.
        CorpusError: no such folder, or a table that cannot be read.

    Example:
        >>> clips = mer.read_clips("my_corpus", emotions=["calm", "tense"])
        >>> clips[clips.split == "train"].groupby("speaker").emotion.value_counts()
    """
    import pandas

    options = ReadingOptions(
        format=format, label_map=dict(label_map or {}), valence_scale=valence_scale, text_column=text_column
    )
    if isinstance(emotions, str) and emotions == AUTO_EMOTIONS:
        emotions = emotions_of(path_of("folder", folder), options).emotions
    elif isinstance(emotions, str):
        if emotions not in EMOTION_SETS:
            raise ConfigError(
                f"emotions: expected one of {_EMOTIONS}, or a list of names, found {emotions!r}"
            )
        emotions = EMOTION_SETS[emotions]
    elif not isinstance(emotions, Iterable) or not all(isinstance(name, str) for name in emotions):
        raise ConfigError(
            f"emotions: expected one of {_EMOTIONS}, or a list of names, found {described(emotions)}"
        )
    corpus = recognise(path_of("folder", folder), emotions=emotions, options=options)
    rows = [
        {
            "name": entry.name,
            "path": str(entry.media),
            "emotion": entry.emotion,
            "valence": float("nan") if entry.valence is None else entry.valence,
            "speaker": entry.speaker,
            "transcript": entry.transcript,
            "split": entry.split.value,
            "fold": entry.fold,
        }
        for entry in corpus.entries
    ]
    table = pandas.DataFrame(rows, columns=list(COLUMNS)).astype({"fold": "Int64", "valence": "float64"})
    left_out = {item.name: f"{item.reason.value}: {item.detail}" for item in corpus.left_out}
    if left_out:
        name, reason = next(iter(left_out.items()))
        warnings.warn(
            f"{corpus.name}: {len(left_out)} clips are left out, first {name} ({reason}); all are in .attrs['left_out']",
            UserWarning,
            stacklevel=2,
        )
    table.attrs = {
        "name": corpus.name, "root": str(corpus.root), "format": corpus.format, "emotions": list(corpus.emotions),
        "notes": list(corpus.notes), "left_out": left_out, "feature_sets": list(corpus.feature_sets),
    }  # fmt: skip
    return table


def clips_of(clips: Any) -> list[Clip]:
    """Clips of a list of paths, of one path, or of a table with a column `path` (and `name`, `transcript` where known).

    Several may share a name, by which feature files are found: see `row_names`. A table of `read_clips` also says where the
    corpus' feature files lie, and some of its clips may consist of these alone.

    Raises:
        ConfigError: neither, no clip at all, or files that do not exist; names the first.
    """
    if hasattr(clips, "columns"):
        if "path" not in clips.columns:
            raise ConfigError(
                f"clips: expected a table with a column `path`, found columns {list(clips.columns)}"
            )
        paths = [Path(path) for path in clips["path"]]
        names = (
            [str(name) for name in clips["name"]]
            if "name" in clips.columns
            else [path.stem for path in paths]
        )
        texts = list(clips["transcript"]) if "transcript" in clips.columns else [None] * len(paths)
        root = clips.attrs.get("root")
    else:
        paths, names, texts, root = _paths(clips), [], [], None
        names, texts = [path.stem for path in paths], [None] * len(paths)
    if not paths:
        raise ConfigError("clips: expected at least one file, found none")
    if not root and (missing := [path for path in paths if not path.is_file()]):
        hint = "; a folder is read by mer.read_clips" if missing[0].is_dir() else ""
        raise ConfigError(
            f"clips: expected files, found {len(missing)} paths without one, first {missing[0]}{hint}"
        )
    return [
        Clip(
            name=name,
            content=sha256_file(path) if path.is_file() else "",
            path=path,
            corpus_root=Path(root) if root else path.parent,
            transcript=None if is_missing(text) else str(text),
        )
        for path, name, text in zip(paths, names, texts, strict=True)
    ]


def row_names(clips: Sequence[Clip]) -> list[str]:
    """What results call the clips: their names, or where several share one `name/<row>`."""
    times = Counter(clip.name for clip in clips)
    return [clip.name if times[clip.name] == 1 else f"{clip.name}/{row}" for row, clip in enumerate(clips)]


def weights_cache(folder: str | Path | None) -> Path:
    """Folder of converted weights, made where absent."""
    path = path_of("cache", WEIGHTS_CACHE if folder is None else folder)
    path.mkdir(parents=True, exist_ok=True)
    return path


def _paths(clips: Any) -> list[Path]:
    if isinstance(clips, (str, os.PathLike)):
        return [Path(clips)]
    try:
        items = list(clips)
    except TypeError:
        items = [clips]
    if wrong := [item for item in items if not isinstance(item, (str, os.PathLike))]:
        raise ConfigError(
            f"clips: expected paths of media files, or a table of mer.read_clips, found {described(wrong[0])}"
        )
    return [Path(item) for item in items]
