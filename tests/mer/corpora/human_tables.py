"""Columns, splits, numbers, labels and files of tables, as people and their spreadsheets write them."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

from human_corpora import LABELS, NAMES, Human, corpus, named, rows, wavs, workbook

WAVS = tuple(f"{name}.wav" for name in NAMES)
ZEROS = tuple(f"{number:04}" for number in range(1, 9))
TAKEN = r"columns of labels\.csv: .*"
VALENCES = ("7", "6,5", "2", "3", "1", "9", "5", "5")


def valences(*values: str) -> list[list[str]]:
    """Rows of the eight clips with these valences."""
    return [[*row, value] for row, value in zip(rows(), values, strict=True)]


def columns(header: str, *more: str) -> Callable[[Path], None]:
    """A table with this header, whose further cells are the same in all rows."""
    return corpus(rows(str, *more), WAVS, header=header)


def bytes_of(content: bytes, table: str = "labels.csv") -> Callable[[Path], None]:
    """A table of these bytes beside the eight clips."""

    def make(root: Path) -> None:
        wavs(root, WAVS)
        (root / table).write_bytes(content)

    return make


def text(header: str = "name,emotion", end: str = "\n") -> str:
    """The plain table of the eight clips."""
    return end.join([header, *(",".join(row) for row in rows())]) + end


COLUMN_CASES = [
    Human(
        "filename label subject text",
        columns("filename,label,subject,text", "ann", "hello"),
        notes=[TAKEN + "filename is name, label is emotion, subject is speaker, text is transcript"],
    ),
    Human(
        "file emo actor sentence",
        columns("file,emo,actor,sentence", "ann", "hello"),
        notes=[TAKEN + "emo is emotion"],
    ),
    Human(
        "file_name class participant transcription",
        columns("file_name,class,participant,transcription", "ann", "hello"),
    ),
    Human(
        "wav emotion_label speaker_id utterance_text",
        columns("wav,emotion_label,speaker_id,utterance_text", "ann", "hello"),
    ),
    Human("clip discrete", columns("clip,discrete")),
    Human("id", columns("id,emotion")),
    Human("utterance that names", columns("utterance,label")),
    Human(
        "utterance that is said",
        columns("file,label,utterance", "well I never"),
        notes=[TAKEN + "utterance is transcript"],
    ),
    Human(
        "capitals, blanks and hyphens",
        columns("File Name,Emotion-Label, Speaker ID ", "ann"),
        notes=[TAKEN + "speaker id is speaker"],
    ),
    Human("label beside emotion", columns("name,emotion,label", "3"), notes=["columns not used: label"]),
    Human("id beside filename", columns("filename,label,id", "9"), notes=["columns not used: id"]),
    Human("set that is no split", columns("name,emotion,set", "blue"), notes=["columns not used: set"]),
    Human(
        "two names",
        corpus([[n, e, f"x{n}"] for n, e in rows()], WAVS, header="file,emotion,wav"),
        refused=r"columns `file`, `wav` may be the name",
    ),
    Human(
        "two labels", columns("name,label,class", "x"), refused=r"columns `label`, `class` may be the emotion"
    ),
    Human(
        "no name",
        columns("gender,emotion"),
        refused=r"expected a column `name` or `path` .*, found gender, emotion; rename the one that does `name`",
    ),
    Human(
        "German headings",
        corpus(
            [["-3,5", n, e, "Vp 3"] for n, e in rows()], WAVS, header="Valenz;Dateiname;Klasse;Versuchsperson"
        ),
        notes=[
            TAKEN + "dateiname is name, klasse is emotion, valenz is valence, versuchsperson is speaker",
            "no clip of worried, surprise, which stay classes of the model; --emotions auto takes those",
        ],
    ),
]

SPLITS = ("train", "Training", "val", "dev", "validation", "valid", "test", "unlabelled")
NUMBER_CASES = [
    Human(
        "splits",
        corpus(
            [[*row, split] for row, split in zip(rows(), SPLITS, strict=True)],
            WAVS,
            header="name,emotion,split",
        ),
        named(NAMES, (*LABELS[:7], None)),
        notes=[r"split 'dev' \(1 rows\) is training data", r"split 'val' \(1 rows\) is training"],
    ),
    Human("folds in words", columns("name,emotion,fold", "Fold 3")),
    Human(
        "unknown split",
        columns("name,emotion,split", "exam"),
        refused=r"row 2: unknown split 'exam': expected train, val",
    ),
    Human(
        "decimal commas",
        corpus(valences("-3,5", "2,5", "0", "1", "-1", "2", "3", ",5"), WAVS, header="name;emotion;valence"),
    ),
    Human(
        "minus of typesetters",
        corpus(
            valences("\u22123.5", "2.5", "0", "1", "-1", "2", "3", "n/a"), WAVS, header="name,emotion,valence"
        ),
    ),
    Human(
        "1 to 9, said",
        corpus(valences(*VALENCES), WAVS, header="name;emotion;valence"),
        command=["--valence-scale", "1..9"],
        notes=[r"valence: 1\.\.9 becomes -5\.\.5"],
    ),
    Human(
        "1 to 9, not said",
        corpus(valences(*VALENCES), WAVS, header="name;emotion;val"),
        refused=r"8 valences from 1 to 9, none below 0.*--valence-scale 1\.\.9 or [^-]*\(1, 9\)$",
    ),
    Human(
        "1 to 5, not said",
        corpus(valences(*"12345123"), WAVS, header="name,emotion,valence"),
        refused=r"8 valences from 1 to 5, none below 0.*--valence-scale 1\.\.5 or",
    ),
    Human(
        "0 to 1, not said",
        corpus(valences("0", "1", *[".5"] * 6), WAVS, header="name,emotion,valence"),
        refused=r"none below 0.*--valence-scale 0\.\.1 or",
    ),
    Human(
        "percent, not said",
        corpus(valences("0 %", "100%", *["55 %"] * 6), WAVS, header="name,emotion,valence"),
        refused=r"from 0 to 1, none below 0.*--valence-scale 0\.\.1",
    ),
    Human(
        "percent, said",
        corpus(valences("0 %", "100%", *["55 %"] * 6), WAVS, header="name,emotion,valence"),
        command=["--valence-scale", "0..1"],
    ),
    Human(
        "positive, meant so",
        corpus(valences(*"12345123"), WAVS, header="name,emotion,valence"),
        command=["--valence-scale", "-5..5"],
    ),
    Human(
        "-1 to 1, said",
        corpus(valences("-1", "1", *["0.5"] * 6), WAVS, header="name,emotion,valence"),
        command=["--valence-scale", "-1..1"],
        notes=[r"valence: -1\.\.1 becomes"],
    ),
    Human(
        "-1 to 1, not said",
        corpus(valences("-1", "1", *["0.5"] * 6), WAVS, header="name,emotion,valence"),
        notes=[r"taken as they are, on -5\.\.5; --valence-scale -1\.\.1"],
    ),
    Human(
        "outside of what is said",
        corpus(valences(*VALENCES), WAVS, header="name;emotion;valence"),
        command=["--valence-scale", "1..7"],
        refused=r"row 7: valence 9 is outside \[1, 7\]",
    ),
    Human(
        "no scale",
        corpus(valences(*VALENCES), WAVS, header="name;emotion;valence"),
        command=["--valence-scale", "9"],
        refused=r"expected LOW\.\.HIGH.*found '9'",
    ),
]

CELLS = [["name", "emotion"], *rows()]
NUMBERS = [["name", "emotion"], *([number, label] for number, label in enumerate(LABELS, start=1))]
MUELLERS = [["name", "emotion", "speaker"], *rows(str, "Müller")]
CHINESE = [["name", "emotion", "text"], *rows(str, "你好，我们今天去公园吧")]


def csv(cells: list[list[str]]) -> str:
    """The cells with commas."""
    return "".join(",".join(row) + "\n" for row in cells)


FILE_CASES = [
    Human("Labels.CSV", corpus(rows(), WAVS, table="Labels.CSV")),
    Human(
        "LABELS.csv beside another table",
        lambda root: (corpus(rows(), WAVS, table="LABELS.csv")(root), bytes_of(b"x,y\n1,2\n", "a.csv")(root))[
            0
        ],
    ),
    Human("labels.TSV", corpus(rows(), WAVS, header="name\temotion", table="labels.TSV")),
    Human(
        "one usable table of two",
        lambda root: (corpus(rows(), WAVS, table="mine.csv")(root), bytes_of(b"x,y\n1,2\n", "a.csv")(root))[
            0
        ],
    ),
    Human("xlsx", workbook(CELLS, WAVS)),
    Human("xlsx with numbers for names", workbook(NUMBERS, [f"{name}.wav" for name in ZEROS]), named(ZEROS)),
    Human(
        "xlsx with a sheet called Labels",
        workbook(CELLS, WAVS, sheets=("About", "Labels")),
        notes=["sheet Labels is read, of About, Labels"],
    ),
    Human(
        "xlsx that is none",
        bytes_of(b"PK\x03\x04 and so on", "labels.xlsx"),
        refused=r"labels\.xlsx is no workbook that can be read",
    ),
    Human(
        "xlsx called csv",
        bytes_of(b"PK\x03\x04 and so on"),
        refused=r"labels\.csv is an Excel workbook: call it \.xlsx",
    ),
    Human(
        "xls called csv",
        bytes_of(b"\xd0\xcf\x11\xe0 and so on"),
        refused=r"old Excel workbook \(\.xls\): save it as",
    ),
    Human("UTF-8 with a mark, CRLF", bytes_of(codecs.BOM_UTF8 + text(end="\r\n").encode())),
    Human("UTF-16", bytes_of(text().encode("utf-16"))),
    Human("UTF-16 without a mark", bytes_of(text().encode("utf-16-le")), notes=["read as UTF-16"]),
    Human("UTF-16 with tabs", bytes_of(text().replace(",", "\t").encode("utf-16"))),
    Human("cp1252", bytes_of(csv(MUELLERS).encode("cp1252")), notes=[r"read as cp1252 \(Western European\)"]),
    Human("gb18030", bytes_of(csv(CHINESE).encode("gb18030")), notes=[r"read as gb18030 \(Chinese\)"]),
    Human("sep=;", bytes_of(("sep=;\r\n" + text(end="\r\n").replace(",", ";")).encode())),
    Human("blank lines before the header", bytes_of(("\n ,\n\n" + text()).encode())),
    Human(
        "blank columns",
        bytes_of(text(header="name,emotion,,").replace("\n", ",,\n").replace(",,,,\n", ",,\n").encode()),
    ),
    Human(
        "an index without a name",
        bytes_of(csv([["", "name", "emotion"], *([str(n), *row] for n, row in enumerate(rows()))]).encode()),
    ),
    Human(
        "quoted cells",
        bytes_of(
            ('"name","emotion"\n' + "".join(f'"{name}","{label}"\n' for name, label in rows())).encode()
        ),
    ),
    Human("old line ends", bytes_of(text(end="\r").encode())),
    Human(
        "commas without quotes",
        bytes_of(b"name,emotion,text\nclip_00,happy,well, well\n"),
        refused=r"line 2: expected 3 cells, found 4; a cell that",
    ),
]

BORED = ("boredom", "boredom", *LABELS[2:])
LABEL_CASES = [
    Human(
        "misspelt labels",
        corpus([["clip_00", "hapy"], ["clip_01", "Happines"], *rows()[2:]], WAVS),
        refused=r"Happines \(1\), hapy \(1\)\. By Happines, did you mean happy\? By hapy, did you mean happy\?.*"
        r"Happines=happy,hapy=happy",
    ),
    Human(
        "a label of another set",
        corpus([[n, e] for n, e in zip(NAMES, BORED, strict=True)], WAVS),
        refused=r"boredom \(2\)\. Say what each is with --label-map, e\.g\. boredom= \(LABEL= stands for no label\).*"
        r"--emotions auto",
    ),
    Human(
        "numbers for classes",
        corpus([[n, d] for n, d in zip(NAMES, "00112233", strict=True)], WAVS),
        refused=r"0 \(2\), 1 \(2\), 2 \(2\), 3 \(2\)\. Say what each is with --label-map, e\.g\. 0=,1=,2=,3= \(LABEL= stands",
    ),
    Human(
        "a label map",
        corpus([[n, e] for n, e in zip(NAMES, BORED, strict=True)], WAVS),
        named(NAMES, (None, None, *LABELS[2:])),
        command=["--label-map", "Boredom=,boredom=,calm=neutral"],
        notes=[r"label map: .*calm not among the labels"],
    ),
    Human(
        "own labels",
        corpus([[n, e] for n, e in zip(NAMES, ("Very calm", "very calm", *"ttttTT"), strict=True)], WAVS),
        named(NAMES, ("very_calm",) * 2 + ("t",) * 6),
        command=["--emotions", "auto"],
    ),
    Human(
        "own labels, one clip of a class",
        corpus([["clip_00", "calm"], *rows()[1:]], WAVS),
        named(NAMES, ("calm", *LABELS[1:])),
        command=["--emotions", "auto"],
        notes=["classes with a single training clip: calm, happy"],
    ),
    Human(
        "own classes",
        corpus([[n, e] for n, e in zip(NAMES, BORED, strict=True)], WAVS),
        named(NAMES, BORED),
        command=["--emotions", "boredom,sad,angry,neutral"],
    ),
    Human(
        "one class",
        corpus([[n, "calm"] for n in NAMES], WAVS),
        command=["--emotions", "auto"],
        refused=r"expected at least 2 labels with 2 clips each.*found calm 8",
    ),
    Human(
        "no label",
        corpus([[n, e] for n, e in zip(NAMES, ("none", "N/A", "-", "", *LABELS[4:]), strict=True)], WAVS),
        named(NAMES, (None,) * 4 + LABELS[4:]),
        notes=["label 'N/A' -> no label"],
    ),
]

TABLE_CASES = [*COLUMN_CASES, *NUMBER_CASES, *FILE_CASES, *LABEL_CASES]
