"""The summary of label shift for people: one line, and one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:15px/1.5 sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}"
    "td,th{padding:.3em .8em;text-align:right;border-bottom:1px solid #ccc}td:first-child,th:first-child{text-align:left}"
    ".bar{display:inline-block;height:.7em;background:#36c}.before{background:#bbb}.left{text-align:left}"
)
_COLUMNS = (
    ("training prior", "training_prior"),
    ("EM", "em"),
    ("BBSE, posteriors", "bbse_soft"),
    ("BBSE, classes", "bbse_hard"),
    ("answers as served", "answers_served"),
    ("answers corrected", "answers_corrected"),
)


def shift_line(summary: Mapping[str, Any]) -> str:
    """The summary (`ShiftAnalysis.to_json` or `NoAnalysis.to_json`) in one line."""
    if not summary["available"]:
        return f"label shift: not estimated: {summary['reason']}"
    evidence = f"p = {summary['test']['p_value']:.4f} ({'shift' if summary['shifted'] else 'no shift'})"
    if summary["shifted"] and not summary["consistent"]:
        evidence += f", but EM and BBSE differ by {summary['disagreement']:.2f}: more than the priors differs"
    effect = f"{summary['changed']} of {summary['clips']} answers"
    if summary["corrected"]:
        return f"label shift: {evidence}; corrected: {effect} changed"
    return f"label shift: {evidence}; not corrected (it would change {effect})"


def shift_page(summary: Mapping[str, Any], title: str) -> str:
    """An HTML page with both priors, their intervals, the test and what changes."""
    rows = "".join(_row(entry) for entry in summary["classes"])
    head = "".join(f"<th>{name}</th>" for name, _ in _COLUMNS)
    test = summary["test"]
    moved = "speakers" if test["by_speaker"] else "clips"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1><p>{escape(shift_line(summary))}.</p>"
        f"<table><tr><th>emotion</th>{head}<th class=left>training (grey) and estimated ({_name(summary)})</th></tr>"
        f"{rows}</table>"
        f"<p>{summary['clips']} clips; {summary['calibration_clips']} labelled clips, predicted out of fold. In brackets: "
        f"{summary['confidence']:.0%} bootstrap intervals. Permutation test of {moved}: statistic {test['statistic']:.2f}, "
        f"{test['permutations']} permutations, design effect {test['design_effect']:.2f}; it says shift where p is at most "
        f"{test['alpha']:g}. Mode: {escape(summary['mode'])}.</p>"
        "<p>The estimates suppose that only the shares of the classes differ, not what each class looks like. EM and BBSE (with "
        f"posteriors) differ by {summary['disagreement']:.3f} in sum; where that is much, something else has changed too, and "
        "answers are left alone.</p></html>\n"
    )


def _row(entry: Mapping[str, Any]) -> str:
    cells = "".join(f"<td>{_cell(entry, key)}</td>" for _, key in _COLUMNS)
    bars = (
        f"<span class='bar before' style='width:{20 * entry['training_prior']:.2f}em'></span><br>"
        f"<span class='bar' style='width:{20 * entry['estimated']:.2f}em'></span>"
    )
    return f"<tr><td>{escape(entry['emotion'])}</td>{cells}<td class=left>{bars}</td></tr>"


def _cell(entry: Mapping[str, Any], key: str) -> str:
    if f"{key}_low" not in entry:
        return f"{entry[key]:.1%}"
    return f"{entry[key]:.1%} ({100 * entry[f'{key}_low']:.1f}-{100 * entry[f'{key}_high']:.1f})"


def _name(summary: Mapping[str, Any]) -> str:
    return next(name for name, key in _COLUMNS if key == summary["estimator"])
