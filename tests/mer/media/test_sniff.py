from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.errors import MediaError, QuarantineReason
from mer.media.sniff import Container, check_name, printable, sniff


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\x00\x00\x00\x20ftypisom", Container.ISO),
        (b"\x1a\x45\xdf\xa3....", Container.MATROSKA),
        (b"RIFF\x00\x00\x00\x00AVI LIST", Container.AVI),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", Container.WAV),
        (b"fLaC\x00\x00\x00\x22", Container.FLAC),
        (b"OggS\x00\x02", Container.OGG),
        (b"ID3\x04\x00", Container.MP3),
        (b"\xff\xfb\x90\x64\x00", Container.MP3),
        (b"\xff\xf1\x50\x80\x00", Container.AAC),
        (b"FORM\x00\x00\x00\x00AIFC", Container.AIFF),
        ((b"\x47" + bytes(187)) * 3, Container.MPEG_TS),
        (b"\x00\x00\x01\xba\x44", Container.MPEG_PS),
    ],
)
def test_containers_are_told_by_their_first_bytes(tmp_path: Path, head: bytes, expected: Container) -> None:
    path = tmp_path / "clip.xyz"
    path.write_bytes(head)
    assert sniff(path) is expected


@pytest.mark.parametrize(
    "text",
    [
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n",
        b"\xef\xbb\xbf  #EXTM3U\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
        b"<?xml version='1.0'?><MPD></MPD>",
    ],
)
def test_what_refers_elsewhere_is_an_unsafe_container(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(text)
    with pytest.raises(MediaError) as caught:
        sniff(path)
    assert caught.value.reason is QuarantineReason.UNSAFE_CONTAINER


@pytest.mark.parametrize(
    "head", [b"hello", b"BM" + bytes(100), b"\x89PNG\r\n\x1a\n", b"\x7fELF", bytes(64), b"x"]
)
def test_everything_else_is_not_media(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(head)
    with pytest.raises(MediaError) as caught:
        sniff(path)
    assert caught.value.reason is QuarantineReason.NOT_MEDIA


@pytest.mark.parametrize(
    "name",
    [
        "@i.mp4",
        "../x",
        "..",
        "",
        "a\tb.mp4",
        "a\nb.mp4",
        "x" * 251 + ".mp4",
        "a\udcff\n.mp4",
        "=cmd().mp4",
        "a|b.wav",
    ],
)
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(MediaError) as caught:
        check_name(name)
    assert caught.value.reason is QuarantineReason.UNSAFE_NAME
    str(caught.value).encode("utf-8")  # the message can be stored


@pytest.mark.parametrize(
    "name",
    [
        "-3g5yACwYnA_10.mp4",
        "a;b$(id).mp4",
        "a\udcff.mp4",
        "03-01-06-01-02-01-12.wav",
        "Tom & Jerry (2).mp4",
        "我的视频.mp4",
        "dia0_utt0.mp4",
        "l'été.mp4",
    ],
)
def test_usual_names_pass(name: str) -> None:
    check_name(name)


@given(st.text(st.characters(codec=None), max_size=40))
def test_printable_can_always_be_stored_and_printed(name: str) -> None:
    shown = printable(name)
    shown.encode("utf-8")
    assert shown == "" or shown.isprintable()
