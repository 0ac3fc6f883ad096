"""The process of one run that a watch started: it runs the flow as the command line does, and notes that it was done."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

from flows.cli.commands import run_flow
from flows.cli.outcome import FAILED, failure, say_failure
from flows.terminal import finish_output
from infra.modes import be_private
from mer.errors import ConfigError

_OPTIONS = {"refresh": "RefreshOptions", "retrain": "RetrainOptions", "ingest": "IngestOptions"}


def execute(asked: dict[str, Any]) -> None:
    """Run it. Raises what the flow raises."""
    kinds = import_module("flows.options")
    function = str(asked["flow"]).partition(":")[2]
    if function not in _OPTIONS:
        raise ConfigError(f"expected a flow among {', '.join(_OPTIONS)}, found {function!r}")
    options = kinds.checked_options(getattr(kinds, _OPTIONS[function]), asked["options"])
    run_flow(str(asked["flow"]), options)
    from tasks.stage.workspace import workspace

    workspace().catalogue.end_batch(str(asked["watch"]), int(asked["number"]), done=True)


def main() -> int:
    """Exit code as of a command."""
    be_private()
    try:
        execute(json.loads(sys.argv[1]))
    except Exception as error:
        finish_output()
        say_failure(failure(error, False))
        return FAILED
    finish_output()
    return 0


if __name__ == "__main__":
    sys.exit(main())
