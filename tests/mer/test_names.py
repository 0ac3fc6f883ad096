"""What may be a name: any script, nothing that means something to a path, a terminal or a table."""

from __future__ import annotations

import pytest

from mer.names import check_folder_name, check_name, check_study_name

BAD = (
    "../../x", "[bold]x[/]", "a\nb", "x" * 10_000, "x" * 65, "", " ", ".", "..", "con/..", "a\0b", "a..b", "-x", "_x", ".x",
    "a b", "a/b", "a\\b", "a:b", "a\u202eb", "a\u200bb", "😀", "\u0301x",
)  # fmt: skip


@pytest.mark.parametrize(
    "name", ["demo", "x", "2024", "a-b_c.d", "x" * 64, "démo", "de\u0301mo", "ディープ", "क्षमा", "感情2"]
)
def test_names_of_any_script(name: str) -> None:
    assert check_name(name, "name") == name
    assert check_folder_name(name) == name
    assert check_study_name(name) == name


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_what_is_no_name_is_refused_in_one_short_line(name: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 64 letters") as caught:
        check_name(name, "name of a class", remedy="call it otherwise")
    message = str(caught.value)
    assert message.startswith("name of a class: ") and message.endswith("; call it otherwise")
    assert len(message) < 300 and message.isprintable() and "found '" in message


def test_a_folder_may_be_called_as_folders_are() -> None:
    assert check_folder_name("My clips (2)+more") == "My clips (2)+more"
    for name in ("[bold]x[/]", "(x)", " x", "a/b", "", "..", "x" * 65):
        with pytest.raises(ValueError, match="--name"):
            check_folder_name(name)


def test_a_study_has_pieces() -> None:
    assert check_study_name("demo/My clips (2)/1f0c") == "demo/My clips (2)/1f0c"
    for name in ("a//b", "/a", "a/", "a/../b", "../a", "a/b/c/d/e", "a/[b]"):
        with pytest.raises(ValueError, match="--study"):
            check_study_name(name)
