"""Watches in the background: services of the home, which its supervisor starts again where they died, and `mer up` too.

What is watched is noted in the home, a file a watch, so that whoever starts it again knows how.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.errors import UNREADABLE
from infra.observing import count_restart
from infra.services import start_command, stop
from infra.services.deaths import has_died, was_not_stopped, was_started
from infra.settings import Settings
from infra.whole_files import write_whole

PREFIX = "watch-"
_LETTERS = 8


def service_name(key: str) -> str:
    """Name of the service of a watch, by its key."""
    return f"{PREFIX}{key[:_LETTERS]}"


def start_watch(key: str, arguments: Sequence[str], settings: Settings) -> bool:
    """Note how this watch is started (arguments of `mer`), and start it, unless it runs; returns whether it did."""
    name = service_name(key)
    write_whole(_file(name, settings), json.dumps(list(arguments)).encode(), mode=0o600)
    return _start(name, arguments, settings)


def end_watch(key: str, settings: Settings) -> bool:
    """Stop it for good; returns whether there was one."""
    name = service_name(key)
    file = _file(name, settings)
    known = file.exists()
    file.unlink(missing_ok=True)
    return stop(name, settings) or known


def known_watches(settings: Settings) -> Mapping[str, Sequence[str]]:
    """Name of the service -> arguments of `mer`."""
    found: dict[str, Sequence[str]] = {}
    for file in sorted(_folder(settings).glob(f"{PREFIX}*.json")):
        try:
            arguments = json.loads(file.read_text(encoding="utf-8"))
        except UNREADABLE:
            continue
        if isinstance(arguments, list) and all(isinstance(item, str) for item in arguments):
            found[file.stem] = arguments
    return found


def restart_dead_watches(settings: Settings) -> bool:
    """Start those again that died and were not stopped; returns whether any is to be watched over."""
    works = False
    for name, arguments in known_watches(settings).items():
        works = works or was_started(name, settings)
        if has_died(name, settings) and was_not_stopped(name, settings):
            _start(name, arguments, settings)
            count_restart(name)
    return works


def start_watches(settings: Settings) -> list[str]:
    """Start all that are known and do not run; returns the lines to say so."""
    return [
        f"watching again: mer {' '.join(arguments)}"
        for name, arguments in known_watches(settings).items()
        if _start(name, arguments, settings)
    ]


def _start(name: str, arguments: Sequence[str], settings: Settings) -> bool:
    environment = {"MER_HOME": str(settings.home), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return start_command(name, [sys.executable, "-m", "flows.cli", *arguments], environment, settings)


def _folder(settings: Settings) -> Path:
    return settings.home / "watches"


def _file(name: str, settings: Settings) -> Path:
    return _folder(settings) / f"{name}.json"
