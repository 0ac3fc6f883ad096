"""Five planted faults are found, and none where there is none."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from mer.audit.audit import audit_protocol
from mer.audit.fingerprints import RATE, fingerprint, near_equal
from mer.audit.parts import ListedClip, fold_parts
from mer.audit.protocol import Protocol, read_protocol
from mer.audit.sounds import HeardClip, heard
from mer.errors import CorpusError

CLASSES = ("happy", "sad", "angry", "neutral")


def voice(seed: int, seconds: float = 2.5) -> np.ndarray:
    """Noise whose band energies move like syllables: no two seeds alike."""
    generator = np.random.default_rng(seed)
    total, time_axis = int(seconds * RATE), np.arange(int(seconds * RATE)) / RATE
    sound = np.zeros(total)
    for _ in range(25):
        centre, rate, phase = generator.uniform(200, 2500), generator.uniform(1, 6), generator.uniform(0, 6.3)
        wobble = 1 + 0.1 * np.sin(2 * np.pi * generator.uniform(0.5, 3) * time_axis + phase)
        carrier = np.sin(2 * np.pi * centre * np.cumsum(wobble) / RATE)
        sound += carrier * np.clip(np.sin(2 * np.pi * rate * time_axis + phase), 0, None)
    return (0.05 * sound + 0.02 * generator.normal(size=total)).astype(np.float32)


def clean(clips: int = 80, speakers: int = 8) -> Protocol:
    """Folds of whole speakers; every class in each."""
    listed = [
        ListedClip(
            f"c{row:03d}",
            f"s{row % speakers}",
            f"film{row % speakers}",
            CLASSES[row // speakers % 4],
            f"hash{row}",
        )
        for row in range(clips)
    ]
    folds = [row % speakers // 2 for row in range(clips)]
    return Protocol(tuple(listed), tuple(fold_parts(folds, ["train"] * clips)))


def changed(protocol: Protocol, row: int, **said: str) -> Protocol:
    from dataclasses import replace

    clips = list(protocol.clips)
    clips[row] = replace(clips[row], **said)  # type: ignore[arg-type]
    return Protocol(tuple(clips), protocol.parts)


def kinds(protocol: Protocol, sounds: list[HeardClip | None] | None = None) -> set[str]:
    return {finding.kind for finding in audit_protocol(protocol, sounds=sounds or ()).findings}


def test_nothing_is_invented() -> None:
    found = audit_protocol(clean(), sounds=[heard(voice(seed)) for seed in range(80)])
    assert found.findings == () and found.inflation is None
    assert found.parts == ("fold 0", "fold 1", "fold 2", "fold 3") and not found.not_looked_at
    assert "nothing is shared" in found.lines()[-1]


@pytest.mark.parametrize(
    ("kind", "protocol"),
    [
        ("speaker", changed(clean(), 2, speaker="s7")),
        ("source", changed(clean(), 2, source="film7")),
        ("content", changed(clean(), 2, content="hash7")),
        ("listed_twice", changed(clean(), 2, name="c007")),
    ],
)
def test_what_is_planted_in_a_list_is_found(kind: str, protocol: Protocol) -> None:
    assert kinds(protocol) == {kind}
    found = [finding for finding in audit_protocol(protocol).findings if finding.kind == kind]
    assert {finding.part for finding in found} == {"fold 1", "fold 3"}, (
        "each is tested where the other is learnt from"
    )


def test_a_class_that_is_tested_and_never_learnt() -> None:
    one = changed(clean(), 2, emotion="surprised")
    found = audit_protocol(one).findings
    assert {(finding.kind, finding.part) for finding in found} == {
        ("class_not_trained", "fold 1"), *(("class_not_tested", f"fold {fold}") for fold in (0, 2, 3))
    }  # fmt: skip
    assert all(finding.examples == ("surprised",) for finding in found)


def test_a_louder_shorter_noisier_copy_is_the_same_sound() -> None:
    sounds = [heard(voice(seed)) for seed in range(80)]
    copy = 0.4 * voice(7)[5000:] + 0.001 * np.random.default_rng(1).normal(size=len(voice(7)) - 5000)
    sounds[2] = heard(copy.astype(np.float32))
    assert kinds(clean(), list(sounds)) == {"near_content"}


def test_other_sounds_are_no_copies() -> None:
    prints = [fingerprint(voice(seed)) for seed in range(60)]
    assert len(near_equal(prints)) == 0
    silence, tone = np.zeros(RATE * 3, np.float32), np.sin(np.arange(RATE * 3) / 5).astype(np.float32)
    assert len(near_equal([fingerprint(silence)] * 2)) == 0
    assert fingerprint(np.zeros(10, np.float32)).shape == (0,)
    assert len(near_equal([fingerprint(tone[:100])] * 2)) == 0


def test_what_a_leak_is_worth_is_measured() -> None:
    """Figures that tell speakers, whose clips are mostly of one class: known speakers are worth much, new ones chance."""
    generator = np.random.default_rng(0)
    clips, speakers = 240, 24
    who = np.arange(clips) % speakers
    label = (who + (generator.random(clips) < 0.1)) % 4
    of_speaker = generator.normal(size=(speakers, 81))
    figures = of_speaker[who] + 0.3 * generator.normal(size=(clips, 81))
    listed = [ListedClip(f"c{row}", f"s{who[row]}", "", CLASSES[label[row]]) for row in range(clips)]
    sounds = [HeardClip(np.zeros(0, np.uint32), row) for row in figures]
    folds = [row // speakers % 5 if row % speakers < 12 else row % speakers % 5 for row in range(clips)]
    mixed = Protocol(tuple(listed), tuple(fold_parts(folds, ["train"] * clips)))
    found = audit_protocol(mixed, sounds=sounds)
    assert {finding.kind for finding in found.findings} == {"speaker"}
    assert found.inflation is not None and found.inflation.low > 0.1 and found.inflation.without < 0.5


def test_lists_of_ten_thousand_lines_take_seconds(tmp_path: Path) -> None:
    path = tmp_path / "folds.csv"
    rows = [
        f"clip{row},speaker{row % 200},{CLASSES[row // 200 % 4]},{row % 200 % 5}" for row in range(10_000)
    ]
    path.write_text("name,speaker,emotion,fold\n" + "\n".join(rows), encoding="utf-8")
    began = time.process_time()
    found = audit_protocol(read_protocol(path))
    assert time.process_time() - began < 10
    assert found.clips == 10_000 and not found.findings
    assert any("recordings" in reason for reason in found.not_looked_at)


@pytest.mark.parametrize("planted", [False, True])
def test_lists_of_emobox(planted: bool, tmp_path: Path) -> None:
    for fold in (1, 2):
        folder = tmp_path / f"fold_{fold}"
        folder.mkdir()
        for role in ("train", "test"):
            rows = [row for row in range(20) if (row % 2 + 1 == fold) == (role == "test")]
            rows += [0] if planted and (fold, role) == (1, "train") else []
            lines = [
                json.dumps(
                    {
                        "key": f"u{row}",
                        "wav": f"wav/u{row}.wav",
                        "emo": CLASSES[row // 2 % 4],
                        "spk": f"s{row // 4}",
                    }
                )
                for row in rows
            ]
            (folder / f"made_{role}_fold_{fold}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = audit_protocol(read_protocol(tmp_path))
    assert found.clips == 20 and found.parts == ("fold 1", "fold 2")
    assert {finding.kind for finding in found.findings} == {"speaker"} | (
        {"listed_twice"} if planted else set()
    )


def test_a_split_and_no_protocol(tmp_path: Path) -> None:
    parts = fold_parts([None, None, None], ["train", "test", ""])
    assert [(part.title, part.train.sum(), part.test.sum()) for part in parts] == [("test split", 1, 1)]
    with pytest.raises(CorpusError, match="expected clips of at least two folds"):
        fold_parts([None, 0], ["", ""])
    path = tmp_path / "x.csv"
    path.write_text("name,label\na,happy\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="expected columns name and fold"):
        read_protocol(path)
    path.write_text("name,fold\na,first\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="number of a fold"):
        read_protocol(path)


def test_a_list_deals_the_clips_of_a_corpus_by_name() -> None:
    corpus, listed = clean(8).clips, clean(8).clips
    dealt = Protocol(listed[:4], tuple(fold_parts([1, 1, 0, 0], ["train"] * 4))).dealt(corpus)
    assert [part.test.tolist() for part in dealt.parts] == [
        [False, False, True, True, *[False] * 4], [True, True, *[False] * 6]
    ]  # fmt: skip
    assert dealt.clips == corpus
    nobody = [ListedClip(clip.name) for clip in corpus]
    told = Protocol(listed[:4], dealt.parts).dealt(nobody)
    assert [clip.speaker for clip in told.clips] == ["s0", "s1", "s2", "s3", "", "", "", ""], (
        "what only the list knows"
    )
    with pytest.raises(CorpusError, match="names are those of files"):
        Protocol((ListedClip("other"),), dealt.parts).dealt(corpus)
