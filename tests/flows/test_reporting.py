"""The table of systems shows valence where there is some, and marks what is served."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from flows.reporting import layers_table, retrieval_table
from flows.result_table import interval, label_shift_line, print_systems, systems_table
from infra.artifacts import ArtifactRef
from tasks.stage.run import StageResult


def row(system: str, error: float | None) -> dict[str, Any]:
    combined = None if error is None else 0.55 - 0.25 * error
    return {
        "system": system, "accuracy": 0.56, "waf": 0.55, "waf_low": 0.44, "waf_high": 0.67, "macro_f1": 0.489,
        "accuracy_folds": [0.5, 1.0], "valence_mse": error, "combined_score": combined,
    }  # fmt: skip


def shown(*rows: dict[str, Any], width: int = 140, by_fold: bool = True) -> list[str]:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(systems_table(rows, "fused", "a title", by_fold=by_fold))
    return captured.get().splitlines()


def test_valence_has_columns_where_the_corpus_has_valence() -> None:
    lines = shown(row("fused", 1.58), row("visual", 2.9))
    assert any("MSE val." in line and "WAF-MSE/4" in line for line in lines)
    fused = next(line for line in lines if "fused *" in line)
    assert fused.split() == [
        "fused",
        "*",
        ".560",
        ".550",
        ".440-.670",
        ".489",
        "1.58",
        ".155",
        ".500",
        "1.00",
    ]
    visual = next(line for line in lines if "visual" in line)
    assert "-.175" in visual.split()  # the combined score can be negative


def test_without_valence_there_are_none() -> None:
    lines = shown(row("fused", None))
    assert not any("MSE" in line for line in lines)
    fused = next(line for line in lines if "fused *" in line)
    assert len(fused.split()) == 8


def test_a_system_without_valence_beside_one_with_it_is_left_blank() -> None:
    lines = shown(row("fused", 1.5), row("late", None))
    assert next(line for line in lines if "late" in line).split()[-3:] == [".489", ".500", "1.00"]


def test_nothing_is_cut_off_in_80_columns() -> None:
    lines = shown(row("ensemble/S1", 1.58), row("fused", 12.0), width=80, by_fold=False)
    assert not any("\u2026" in line for line in lines)
    member = next(line for line in lines if "ensemble/S1" in line)
    assert member.split() == ["ensemble/S1", ".560", ".550", ".440-.670", ".489", "1.58", ".155"]


def test_long_names_of_members_do_not_cost_scores_in_80_columns() -> None:
    names = ("ensemble/audio_guided+pseudo", "ensemble/a_member_with_a_very_long_name+pseudo")
    lines = shown(*(row(name, 1.58) for name in names), width=80, by_fold=False)
    assert not any("\u2026" in line for line in lines) and max(map(len, lines)) <= 80
    assert next(line for line in lines if names[0] in line).split()[1:] == [
        ".560", ".550", ".440-.670", ".489", "1.58", ".155",
    ]  # fmt: skip
    whole = "".join(line[:28].strip() for line in lines)
    assert names[1] in whole, "a name that is too long goes on in the next line"


def study(view_scores: str, start: int, stop: int) -> StageResult:
    meta = {"scores": view_scores, "start": start, "stop": stop}
    ref = ArtifactRef(kind="layer-study", key="k", sha256="0" * 64, meta=meta)
    return StageResult(ref=ref, ran=True, seconds=1.0)


def test_many_layers_become_rows() -> None:
    few, many = ",".join(f".{i}" for i in range(1, 8)), ",".join(f".{i}" for i in range(10, 35))
    console = Console(width=80)
    for scores, rows in ((few, 2), (many, 26)):
        studies = {"fold0": study(scores, 1, 3), "final": study(scores, 2, 4)}
        table = layers_table(studies, "lexical")
        assert table.row_count == rows
        with console.capture() as captured:
            console.print(table)
        lines = captured.get()
        assert (
            "lexical" in lines and "layers 2-3" in lines and "layers 3-4" in lines and "\u2026" not in lines
        )


def test_label_shift_is_told_with_and_without_correction() -> None:
    test = {"p_value": 0.0005}
    summary = {
        "available": True, "test": test, "shifted": True, "consistent": True, "corrected": False, "changed": 7, "clips": 90,
    }  # fmt: skip
    assert label_shift_line(summary) == (
        "label shift: p = 0.0005 (shift); not corrected (it would change 7 of 90 answers)"
    )
    scores = {"waf_served": 0.7, "waf_corrected": 0.72, "difference_low": 0.01, "difference_high": 0.03}
    line = label_shift_line(summary | {"scores": scores})
    assert line.endswith("; WAF 0.700 as served, 0.720 corrected (+0.010 to +0.030)")
    unknown = label_shift_line({"available": False, "reason": "3 clips"})
    assert unknown == "label shift: not estimated: 3 clips"


@pytest.mark.parametrize(
    "ways", [("trained_to_anchor_r", "anchor_to_trained_r"), ("video_to_audio_r", "audio_to_video_r")]
)
def test_retrieval_stands_beside_chance(ways: tuple[str, ...]) -> None:
    ways = (*ways, "chance_r")
    final = {f"{way}{rank}": rank / 100 for way in ways for rank in (1, 5, 10)} | {"retrieval_clips": 28.0}
    assert retrieval_table(final, "clip", "whisper").row_count == 3
    within = {f"within_speaker_{way}{rank}": 0.5 for way in ways for rank in (1, 5, 10)}
    console = Console(width=80)
    with console.capture() as captured:
        console.print(retrieval_table(final | within, "clip", "whisper"))
    lines = captured.get().splitlines()
    title = " ".join(" ".join(lines[:2]).split())
    assert title.startswith("alignment of clip to whisper") and title.endswith("28 held-out clips")
    assert {"whisper by clip", "clip by whisper"} <= {line.strip()[:15] for line in lines}
    assert sum("within speakers" in line for line in lines) == 3
    assert ["chance", "0.010", "0.050", "0.100"] in [line.split() for line in lines]


def test_parts_of_the_holdout_stand_below_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    held = {"clips": 12, "accuracy": 0.75, "waf": 0.7, "waf_low": 0.6, "waf_high": 0.8}
    parts = {"test1": held | {"clips": 8, "waf": 0.9}, "test2": held | {"clips": 4, "valence_mse": 1.5}}
    report = {"systems": [row("fused", None)], "served": "fused", "chance": 0.2, "holdout": held}
    print_systems(report | {"holdout_parts": parts}, "a title")
    lines = capsys.readouterr().out.splitlines()
    whole = next(number for number, line in enumerate(lines) if line.startswith("holdout of true labels"))
    assert "(12 clips): accuracy 0.750, WAF 0.700 (0.600 to 0.800)" in lines[whole]
    assert lines[whole + 1].startswith("  test1 (8 clips): accuracy 0.750, WAF 0.900")
    assert lines[whole + 2].startswith("  test2 (4 clips)") and "MSE of valence" in lines[whole + 2]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.44, 0.67, ".440-.670"), (-0.007, 0.303, "-.007 .. .303"), (-0.3, -0.1, "-.300 .. -.100"), (0.9, 1.0, ".900-1.00")],
)  # fmt: skip
def test_the_ends_of_an_interval_are_told_apart(low: float, high: float, said: str) -> None:
    assert interval(low, high) == said
