"""The summary of label shift for people: one line, and one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mer.label_shift.given import GIVEN

_STYLE = (
    "body{font:15px/1.5 sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}"
    "td,th{padding:.3em .8em;text-align:right;border-bottom:1px solid #ccc}td:first-child,th:first-child{text-align:left}"
    ".bar{display:inline-block;height:.7em;background:#36c}.before{background:#bbb}.left{text-align:left}"
)
_COLUMNS = (
    ("training prior", "training_prior"),
    ("given", "given"),
    ("EM", "em"),
    ("BBSE, posteriors", "bbse_soft"),
    ("BBSE, classes", "bbse_hard"),
    ("answers as served", "answers_served"),
    ("answers corrected", "answers_corrected"),
)


def shift_line(summary: Mapping[str, Any]) -> str:
    """The summary (`to_json` of `ShiftAnalysis`, `NoAnalysis` or `GivenAnalysis`) in one line."""
    if summary.get("estimator") == GIVEN:
        return _given_line(summary)
    if not summary["available"]:
        return f"label shift: not estimated: {summary['reason']}"
    evidence = f"p = {summary['test']['p_value']:.4f} ({'shift' if summary['shifted'] else 'no shift'})"
    if summary["shifted"] and not summary["consistent"]:
        evidence += f", but EM and BBSE differ by {summary['disagreement']:.2f}: more than the priors differs"
    effect = f"{summary['changed']} of {summary['clips']} answers"
    if summary["corrected"]:
        return f"label shift: {evidence}; corrected: {effect} changed"
    return f"label shift: {evidence}; not corrected (it would change {effect})"


def _given_line(summary: Mapping[str, Any]) -> str:
    """What given priors change: how many answers, and the share of each class before and after."""
    count, clips = summary["changed"], summary["clips"]
    change = f"{count} of {clips} answers {'changed' if summary['corrected'] else 'would change'}"
    shares = ", ".join(
        f"{entry['emotion']} {entry['answers_served']:.1%} -> {entry['answers_corrected']:.1%}"
        for entry in summary["classes"]
        if entry["answers_served"] != entry["answers_corrected"]
    )
    line = f"label shift: priors given{'' if summary['corrected'] else ', not corrected'}: {change}"
    line += f" ({shares})" if shares else ""
    if clips and summary["support"] < 0:
        line += "; these clips' own predictions fit the training priors better than those given"
    return line


def shift_page(summary: Mapping[str, Any], title: str) -> str:
    """An HTML page with the priors, their intervals, the test and what changes."""
    entries = summary["classes"]
    columns = [(name, key) for name, key in _COLUMNS if key in entries[0]]
    rows = "".join(_row(entry, columns, _prior_key(summary)) for entry in entries)
    head = "".join(f"<th>{name}</th>" for name, _ in columns)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1><p>{escape(shift_line(summary))}.</p>"
        f"<table><tr><th>emotion</th>{head}<th class=left>training (grey) and {_name(summary)}</th></tr>"
        f"{rows}</table>"
        f"<p>{summary['clips']} clips; {summary['calibration_clips']} labelled clips, predicted out of fold."
        f"{_test_text(summary)}</html>\n"
    )


def _test_text(summary: Mapping[str, Any]) -> str:
    """What was tested and estimated, and what that supposes; why nothing was."""
    if "test" not in summary:
        return f" Nothing was estimated: {escape(summary['reason_not_estimated'])}.</p>"
    test = summary["test"]
    moved = "speakers" if test["by_speaker"] else "clips"
    return (
        f" In brackets: {summary['confidence']:.0%} bootstrap intervals. Permutation test of {moved}: statistic "
        f"{test['statistic']:.2f}, {test['permutations']} permutations, design effect {test['design_effect']:.2f}; it says shift "
        f"where p is at most {test['alpha']:g}. Mode: {escape(summary['mode'])}.</p>"
        "<p>The estimates suppose that only the shares of the classes differ, not what each class looks like. EM and BBSE (with "
        f"posteriors) differ by {summary['disagreement']:.3f} in sum; where that is much, something else has changed too"
        f"{'' if summary['estimator'] == GIVEN else ', and answers are left alone'}.</p>"
    )


def _row(entry: Mapping[str, Any], columns: Sequence[tuple[str, str]], prior: str) -> str:
    cells = "".join(f"<td>{_cell(entry, key)}</td>" for _, key in columns)
    bars = (
        f"<span class='bar before' style='width:{20 * entry['training_prior']:.2f}em'></span><br>"
        f"<span class='bar' style='width:{20 * entry[prior]:.2f}em'></span>"
    )
    return f"<tr><td>{escape(entry['emotion'])}</td>{cells}<td class=left>{bars}</td></tr>"


def _cell(entry: Mapping[str, Any], key: str) -> str:
    if f"{key}_low" not in entry:
        return f"{entry[key]:.1%}"
    return f"{entry[key]:.1%} ({100 * entry[f'{key}_low']:.1f}-{100 * entry[f'{key}_high']:.1f})"


def _prior_key(summary: Mapping[str, Any]) -> str:
    """Key of the priors that answers are corrected to."""
    return GIVEN if summary["estimator"] == GIVEN else "estimated"


def _name(summary: Mapping[str, Any]) -> str:
    """How the head of the bars calls these priors."""
    name = next(name for name, key in _COLUMNS if key == summary["estimator"])
    return name if summary["estimator"] == GIVEN else f"estimated ({name})"
