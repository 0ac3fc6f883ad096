"""Folders without a table of ours: classes as folders, names of known corpora beside stray tables, EmoBox."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from human_corpora import LABELS, NAMES, Human, corpus, named, rows, wavs

WAVS = tuple(f"{name}.wav" for name in NAMES)
CLASSES = ("Happy", "Happy", "Sad", "Sad", "Angry", "Angry", "Neutral", "Neutral")
GERMAN = ("Freude", "Freude", "Trauer", "Trauer", "Wut", "Wut", "Neutral", "Neutral")
EMO_DB = {
    "03a01Fa": "happy", "03a01Wa": "angry", "08a02Na": "neutral", "08a02Ta": "sad", "09b01Fb": "happy", "09b01Wb": "angry",
    "10a05Na": "neutral", "10a05Tb": "sad",
}  # fmt: skip
EMO_DB_CLASSES = {
    f"{speaker}a0{text}{code}a": emotion
    for speaker, text in (("03", 1), ("08", 2))
    for code, emotion in (
        ("W", "angry"),
        ("L", "boredom"),
        ("E", "disgust"),
        ("A", "fearful"),
        ("F", "happy"),
        ("T", "sad"),
        ("N", "neutral"),
    )
}
RAVDESS = {
    f"03-01-0{code}-01-01-01-0{actor}": emotion
    for code, emotion in (("1", "neutral"), ("3", "happy"), ("4", "sad"), ("5", "angry"))
    for actor in (1, 2)
}
URDU = {
    f"S{gender}{n}_F{n}_{emotion[0]}0{n}": emotion
    for gender in "MF"
    for n in (1, 2)
    for emotion in ("Angry", "Happy")
}


def files(names: Sequence[str], **texts: str) -> Callable[[Path], None]:
    """These sounds, and texts by file name (dots as __)."""

    def make(root: Path) -> None:
        wavs(root, names)
        for name, text in texts.items():
            (root / name.replace("__", ".")).write_text(text, encoding="utf-8")

    return make


def emo_db(**texts: str) -> Callable[[Path], None]:
    """EMO-DB as on its site, with stray tables."""

    def make(root: Path) -> None:
        files([f"wav/{name}.wav" for name in EMO_DB], **texts)(root)
        for name in EMO_DB:
            (root / "lablaut").mkdir(exist_ok=True)
            (root / f"lablaut/{name}.lablaut").write_text("0.1 113 h")
        (root / "erklaerung.txt").write_text("read me")

    return make


def emobox(
    tests: Mapping[str, Sequence[int]], folds: Sequence[int], folder: str = "downloads/emodb/wav/"
) -> Callable[[Path], None]:
    """EmoBox: key -> folds it is tested in."""

    def line(name: str) -> str:
        return json.dumps(
            {
                "key": f"emodb-{name}",
                "dataset": "emodb",
                "wav": f"{folder}{name}.wav",
                "length": 0.4,
                "emo": EMO_DB[name],
            }
        )

    def make(root: Path) -> None:
        wavs(root, [f"wav/{name}.wav" for name in EMO_DB])
        (root / "emodb.jsonl").write_text("".join(line(name) + "\n" for name in EMO_DB))
        for fold in folds:
            (root / f"fold_{fold}").mkdir()
            for role in ("train", "test"):
                chosen = [name for name in EMO_DB if (fold in tests[name]) == (role == "test")]
                path = root / f"fold_{fold}/emodb_{role}_fold_{fold}.jsonl"
                path.write_text("".join(line(name) + "\n" for name in chosen))

    return make


def table(names: Sequence[str], emotion: str = "sad") -> str:
    """A table of these names, all of one emotion."""
    return "name,emotion\n" + "".join(f"{name},{emotion}\n" for name in names)


NESTED = [
    f"{label}/{speaker}/{n}.wav" for label in ("Angry", "Happy") for speaker in ("ann", "ben") for n in (1, 2)
]
IN_SPEAKERS = [
    f"{speaker}/{label}/{n}.wav" for label in ("Angry", "Happy") for speaker in ("ann", "ben") for n in (1, 2)
]
LAYOUT_CASES = [
    Human(
        "class folders",
        files([f"{label}/{wav}" for label, wav in zip(CLASSES, WAVS, strict=True)]),
        format="class_folders",
        notes=["label 'Happy' -> happy", "speakers are not known"],
    ),
    Human(
        "class folders with numbers",
        files([f"{n}_{label}/{wav}" for n, (label, wav) in enumerate(zip(CLASSES, WAVS, strict=True))]),
        format="class_folders",
    ),
    Human(
        "class folders below others",
        files([f"data/wav/{label}/{wav}" for label, wav in zip(CLASSES, WAVS, strict=True)]),
        format="class_folders",
    ),
    Human(
        "speakers in class folders",
        files(NESTED),
        {path[:-4].replace("/", "__"): path.split("/")[0].lower() for path in NESTED},
        format="class_folders",
        notes=["speaker: from the names of files, or the folder"],
    ),
    Human(
        "class folders in speakers",
        files(IN_SPEAKERS),
        {path[:-4].replace("/", "__"): path.split("/")[1].lower() for path in IN_SPEAKERS},
        format="class_folders",
        notes=["speaker: "],
    ),
    Human(
        "URDU",
        files([f"{emotion}/{name}.wav" for name, emotion in URDU.items()]),
        {name: emotion.lower() for name, emotion in URDU.items()},
        format="class_folders",
        notes=["speaker: from the names"],
    ),
    Human(
        "class folders beside others",
        files([*(f"{label}/{wav}" for label, wav in zip(CLASSES, WAVS, strict=True)), "new/x.wav"]),
        {**named(NAMES), "x": None},
        format="class_folders",
    ),
    Human(
        "classes that nobody knows",
        files([f"{label}/{wav}" for label, wav in zip("aabbccdd", WAVS, strict=True)]),
        named(NAMES, tuple("aabbccdd")),
        format="class_folders",
        command=["--format", "class_folders", "--emotions", "auto"],
    ),
    Human(
        "classes of which one is known, the format said",
        files([f"{label}/{wav}" for label, wav in zip(GERMAN, WAVS, strict=True)]),
        named(NAMES, tuple(label.lower() for label in GERMAN)),
        format="class_folders",
        recipe="",
        command=["--format", "class_folders"],
    ),
    Human(
        "classes of which one is known, the format not said",
        files([f"{label}/{wav}" for label, wav in zip(GERMAN, WAVS, strict=True)]),
        dict.fromkeys(NAMES),
        format="folder",
        notes=[r"clips by folder: Freude 2, Neutral 2, Trauer 2, Wut 2; if .*--format class_folders"],
    ),
    Human(
        "classes that nobody knows, not said",
        files([f"{label}/{wav}" for label, wav in zip("aabbccdd", WAVS, strict=True)]),
        command=["--emotions", "auto"],
        refused=r"found none; if the folders \(a, b, c, \.\.\.\) are the classes: --format class_folders",
    ),
    Human(
        "class folders outside the set",
        files([f"{label}/{wav}" for label, wav in zip(("Boredom", *CLASSES[1:]), WAVS, strict=True)]),
        refused=r"names of folders cannot be used:.*Boredom \(1\).*Boredom= .*--emotions auto",
    ),
    Human(
        "labels.csv beside class folders",
        lambda root: (
            corpus(rows(), [f"{label}/{wav}" for label, wav in zip(CLASSES[::-1], WAVS, strict=True)])(root),
            None,
        )[1],
        notes=["it also looks like class_folders"],
    ),
    Human("EMO-DB", emo_db(), EMO_DB, format="emo-db"),
    Human(
        "EMO-DB with all its classes, without options",
        files([f"wav/{name}.wav" for name in EMO_DB_CLASSES], notes__csv="x,y\n1,2\n"),
        EMO_DB_CLASSES,
        format="emo-db",
        recipe="",
        notes=["notes.csv: not used", "the classes are the corpus' own labels: angry, boredom, disg"],
    ),
    Human(
        "class folders outside the set, without options",
        files(
            [f"{label}/{wav}" for label, wav in zip(("Boredom", "Boredom", *CLASSES[2:]), WAVS, strict=True)]
        ),
        named(NAMES, ("boredom", "boredom", *LABELS[2:])),
        format="class_folders",
        recipe="",
    ),
    Human(
        "class folders within the set, without options",
        files([f"{label}/{wav}" for label, wav in zip(CLASSES, WAVS, strict=True)]),
        format="class_folders",
        recipe="",
    ),
    Human(
        "a table outside the set, without options",
        corpus([["clip_00", "boredom"], ["clip_01", "boredom"], *rows()[2:]], WAVS),
        recipe="",
        refused=r"boredom \(2\)\. Say what each is",
    ),
    Human(
        "EMO-DB and a table without names",
        emo_db(speakers__csv="gender,age\nm,31\n"),
        EMO_DB,
        format="emo-db",
        notes=[r"speakers\.csv: not used, it labels 0 of 8 media files and their names 8; --format table"],
    ),
    Human(
        "EMO-DB and a table of other names",
        emo_db(results__csv=table(["run1", "run2"])),
        EMO_DB,
        format="emo-db",
        notes=["results.csv: not used"],
    ),
    Human(
        "EMO-DB and a table of two of its clips",
        emo_db(hard__csv=table(list(EMO_DB)[:2])),
        EMO_DB,
        format="emo-db",
        notes=["labels 2 of 8"],
    ),
    Human(
        "EMO-DB and labels.csv without names",
        emo_db(labels__csv="gender,age\nm,31\n"),
        EMO_DB,
        format="emo-db",
        notes=["labels.csv: not used"],
    ),
    Human(
        "EMO-DB and two stray tables",
        emo_db(a__csv="x,y\n1,2\n", b__csv="x,y\n1,2\n"),
        EMO_DB,
        format="emo-db",
        notes=["a.csv, b.csv: not used"],
    ),
    Human(
        "EMO-DB and a stray table, forced",
        emo_db(hard__csv=table(list(EMO_DB)[:2])),
        {**dict.fromkeys(EMO_DB), **dict.fromkeys(list(EMO_DB)[:2], "sad")},
        command=["--format", "table"],
    ),
    Human(
        "EMO-DB labelled anew",
        emo_db(labels__csv=table(list(EMO_DB)[:2])),
        {**dict.fromkeys(EMO_DB), **dict.fromkeys(list(EMO_DB)[:2], "sad")},
        notes=["it also looks like emo-db"],
    ),
    Human(
        "RAVDESS and a stray table",
        files([f"Actor_0{name[-1]}/{name}.wav" for name in RAVDESS], files__csv="size,date\n3,4\n"),
        RAVDESS,
        format="ravdess",
        notes=["files.csv: not used"],
    ),
    Human(
        "media and a stray table",
        files(WAVS, prices__csv="id,price\n1,2\n"),
        dict.fromkeys(NAMES),
        format="folder",
        notes=[r"prices\.csv: not used, it has neither labels nor names of media files; --format table"],
    ),
    Human(
        "EmoBox",
        emobox({name: [n // 2 + 1] for n, name in enumerate(EMO_DB)}, [1, 2, 3, 4]),
        EMO_DB,
        format="emobox",
    ),
    Human(
        "EmoBox with one fold",
        emobox({name: [1] if n < 2 else [] for n, name in enumerate(EMO_DB)}, [1]),
        EMO_DB,
        format="emobox",
    ),
    Human("EmoBox without folds", emobox({name: [] for name in EMO_DB}, []), EMO_DB, format="emobox"),
    Human(
        "EmoBox with two tests of a clip",
        emobox({name: [1, 2] if n < 2 else [3] for n, name in enumerate(EMO_DB)}, [1, 2, 3]),
        refused=r"is tested in folds \[1, 2\]: expected one, or all",
    ),
]
assert LABELS[0] == CLASSES[0].lower()
