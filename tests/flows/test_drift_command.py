from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from flows.cli import app
from flows.drift_table import shown_tests, table_of_tests
from flows.options import DriftOptions, RetrainOptions, checked_options
from mer.errors import ConfigError
from tasks.serve.drift import DriftFound


def one(family: str, what: str, effect: float, *, alarm: bool = False) -> dict[str, Any]:
    return {
        "family": family, "what": what, "method": "KS", "effect": effect, "p_value": 0.2, "adjusted": 0.5, "alarm": alarm,
    }  # fmt: skip


def test_the_table_shows_what_alarms_first_and_fits_into_80_columns() -> None:
    rows = [one("embeddings", f"acoustic component {number}", 0.05 * number) for number in range(8)]
    rows += [one("embeddings", "visual component 1", 0.3, alarm=True), one("quality", "snr_db", 0.2)]
    shown = shown_tests(tuple(rows))
    assert [row["what"] for row in shown] == [
        "visual component 1", "acoustic component 7", "acoustic component 6", "snr_db",
    ]  # fmt: skip
    found = DriftFound("demo", 1, 60, "drift", "suggest", "drift: ...", tests=tuple(rows))
    console = Console(width=80, record=True)
    console.print(table_of_tests(found))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80 and sum("alarm" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--simulate-drift", "--simulate-poison"], "found both"),
        (["--simulate-drift", "--corpus", "somewhere"], "makes its own corpus"),
    ],
)
def test_a_simulation_takes_no_corpus_and_is_one_story(
    arguments: list[str], said: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["run", *arguments])
    assert result.exit_code == 2 and said in result.output


def test_options_of_a_look_are_those_of_a_retraining_and_a_few() -> None:
    options = checked_options(DriftOptions, {"policy": "start", "corpus": "x", "version": 2})
    assert options.policy == "start" and set(RetrainOptions.model_fields) < set(DriftOptions.model_fields)
    with pytest.raises(ConfigError, match="policy"):
        checked_options(DriftOptions, {"policy": "panic"})
