"""Names in tables that are not those of the files, or that programs stumble over."""

from __future__ import annotations

from human_corpora import LABELS, NAMES, Human, composed, corpus, decomposed, named, numbered, rows

WAVS = tuple(f"{name}.wav" for name in NAMES)
IN_AUDIO = tuple(f"audio/{file}" for file in WAVS)
ZEROS = tuple(f"{number:04}" for number in range(1, 9))
CAFES = tuple(f"café_{number}" for number in range(8))
DASHES = tuple(f"-{number}xK_q" for number in range(8))
NEAR = r"8 names are not exactly those of files"

NAME_CASES = [
    Human("suffix", corpus(rows("{}.wav".format), WAVS), notes=[NEAR + r".*clip_00\.wav -> clip_00"]),
    Human("suffix of another kind", corpus(rows("{}.MP4".format), WAVS), notes=[NEAR]),
    Human(
        "zeros that a spreadsheet lost",
        corpus(numbered(str), [f"{name}.wav" for name in ZEROS]),
        named(ZEROS),
        notes=[r"1 -> 0001"],
    ),
    Human(
        "numbers as 1.0",
        corpus(numbered("{}.0".format), [f"{name}.wav" for name in ZEROS]),
        named(ZEROS),
        notes=[r"1\.0 -> 0001"],
    ),
    Human(
        "NFD on disk",
        corpus(
            [[composed(name), label] for name, label in zip(CAFES, LABELS, strict=True)],
            [decomposed(name) + ".wav" for name in CAFES],
        ),
        named([decomposed(name) for name in CAFES]),
        notes=[NEAR],
    ),
    Human(
        "NFC on disk",
        corpus(
            [[decomposed(name), label] for name, label in zip(CAFES, LABELS, strict=True)],
            [composed(name) + ".wav" for name in CAFES],
        ),
        named([composed(name) for name in CAFES]),
        notes=[NEAR],
    ),
    Human(
        "backslashes",
        corpus(rows("audio\\{}.wav".format), IN_AUDIO),
        notes=[r"audio\\+clip_00\.wav -> audio/clip_00\.wav"],
    ),
    Human("folders in names", corpus(rows("audio/{}.wav".format), IN_AUDIO), notes=[NEAR]),
    Human("folders without suffix", corpus(rows("audio/{}".format), IN_AUDIO), notes=[NEAR]),
    Human("hyphens", corpus(rows(lambda name: name.replace("_", "-")), WAVS), notes=[r"clip-00 -> clip_00"]),
    Human(
        "blanks between",
        corpus(rows(lambda name: name.replace("_", " ")), WAVS),
        notes=[r"clip 00 -> clip_00"],
    ),
    Human("blanks around", corpus(rows('"  {}\u00a0 "'.format), WAVS)),
    Human(
        "blanks in files",
        corpus(rows(), [f" {name} .wav" for name in NAMES]),
        named([f" {name} " for name in NAMES]),
        notes=[NEAR],
    ),
    Human("capitals", corpus(rows(str.upper), WAVS), notes=[r"CLIP_00 -> clip_00"]),
    Human(
        "paths of another machine",
        corpus(rows("D:\\Data\\my corpus\\audio\\{}.wav".format), IN_AUDIO, header="path,emotion"),
        notes=[NEAR],
    ),
    Human(
        "absolute paths",
        corpus(rows("/home/ann/corpus/audio/{}.wav".format), IN_AUDIO, header="path,emotion"),
        notes=[NEAR],
    ),
    Human(
        "paths above",
        corpus(rows("../corpus/audio/{}.wav".format), IN_AUDIO, header="path,emotion"),
        notes=[NEAR],
    ),
    Human(
        "equal stems in several folders",
        corpus(
            [[f"{folder}/x.wav", label] for folder, label in zip("abcdefgh", LABELS, strict=True)],
            [f"{folder}/x.wav" for folder in "abcdefgh"],
            header="path,emotion",
        ),
        named([f"{folder}__x" for folder in "abcdefgh"]),
    ),
    Human(
        "equal stems behind foreign roots",
        corpus(
            [[f"C:\\data\\{folder}\\x.wav", label] for folder, label in zip("abcdefgh", LABELS, strict=True)],
            [f"{folder}/x.wav" for folder in "abcdefgh"],
            header="file,emotion",
        ),
        named([f"{folder}__x" for folder in "abcdefgh"]),
        notes=[NEAR],
    ),
    Human(
        "names that begin with -",
        corpus(
            [[name, label] for name, label in zip(DASHES, LABELS, strict=True)],
            [f"{name}.wav" for name in DASHES],
        ),
        named(DASHES),
    ),
    Human(
        "two files are near",
        corpus([*rows()[:7], ["clip 7", "neutral"]], [*WAVS[:7], "clip_7.wav", "clip-7.wav"]),
        {**named(NAMES[:7], LABELS[:7]), "clip_7": None, "clip-7": None},
        {"clip 7": "missing_media"},
    ),
    Human(
        "two rows are near",
        corpus([*rows()[:7], ["clip-07", "neutral"], ["CLIP_07", "sad"]], WAVS),
        {**named(NAMES[:7], LABELS[:7]), "clip_07": None},
        {"clip-07": "conflicting_labels", "CLIP_07": "conflicting_labels"},
    ),
    Human(
        "an exact name and a near one",
        corpus([*rows(), ["clip-07", "sad"]], WAVS),
        left_out={"clip-07": "missing_media"},
    ),
    Human(
        "an exact file and a near one",
        corpus(rows(), [*WAVS, "clip-07.wav"]),
        {**named(NAMES), "clip-07": None},
    ),
    Human(
        "two rows of one path",
        corpus(
            [
                *rows("audio/{}.wav".format)[:7],
                ["/x/audio/clip_07.wav", "sad"],
                ["/y/audio/clip_07.wav", "happy"],
            ],
            IN_AUDIO,
            header="path,emotion",
        ),
        named(NAMES[:7], LABELS[:7]),
        {"clip_07": "conflicting_labels", "/y/audio/clip_07.wav": "conflicting_labels"},
    ),
    Human(
        "misspelt",
        corpus([*rows()[:7], ["clpi_07", "neutral"]], WAVS),
        {**named(NAMES[:7], LABELS[:7]), "clip_07": None},
        {"clpi_07": "missing_media"},
    ),
    Human(
        "a name for another file",
        corpus([["clip_01", "clip_00.wav", "happy"]], WAVS[:2], header="name,path,emotion"),
        {"clip_01": "happy"},
        {"clip_01.wav": "ambiguous_media"},
    ),
    Human(
        "no row fits",
        corpus(numbered("recording {}x".format), WAVS),
        refused=r"none of the 8 rows.*recording 1x.*files clip_00",
    ),
]
