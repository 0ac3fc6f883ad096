"""What the service gives and costs: answers a second at 1, 8, 32 clients, memory over time, a champion changed under load.

    python -m benchmarks.serve --home .mer --clip clip.mp4 [--clients 1 8 32] [--seconds 60] [--minutes 10] [--change]

The home must have a champion (`mer run` makes one). Figures: `first_answer_processor_seconds` (of all processes, from the start
to the first answer), and for each number of clients `p50_ms_N`, `p99_ms_N`, `per_second_N`, `processor_ms_N` (of the service, for
an answer), `refused_N` (429), `failed_N` (anything else). Over `--minutes` with 8 clients: `memory_mb` (a value for ten seconds,
of all its processes), `growth_after_first_minute` (share), `failed_long`, and with `--change` `changes` (the champion is set to
another version and back at every third of the time) and `versions` (that answered).
"""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.command import Figure, parser, write_figures

_BOUNDARY = "mer-benchmark"
_START_SECONDS = 600.0


@dataclass
class Load:
    """What clients met."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)

    def figures(self, name: str, lasted: float) -> dict[str, Figure]:
        """Flat figures."""
        ordered = sorted(self.seconds) or [float("nan")]
        return {
            f"p50_ms_{name}": round(1000 * statistics.median(ordered), 1),
            f"p99_ms_{name}": round(1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 1),
            f"per_second_{name}": round(len(self.seconds) / lasted, 2),
            f"refused_{name}": self.refused,
            f"failed_{name}": len(self.failed),
        }


class Served:
    """A service in a process of its own."""

    def __init__(self, home: Path, port: int) -> None:
        environment = {**os.environ, "MER_HOME": str(home)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.service", "--port", str(port)], env=environment
        )
        self.port = port

    def processor_seconds(self) -> float:
        """Of the process and those that it started and that live."""
        total = 0.0
        for process in self._processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
        return total

    def memory_mb(self) -> float:
        """Resident memory of the same."""
        total = 0
        for process in self._processes():
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
        return total / 1e6

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)

    def _processes(self) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]


def ask(connection: http.client.HTTPConnection, clip: bytes) -> tuple[int, bytes]:
    """Status and body of one answer."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n'.encode()
    )
    body = head + clip + f"\r\n--{_BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    connection.request("POST", "/api/predict", body, headers)
    response = connection.getresponse()
    return response.status, response.read()


def load(port: int, clip: bytes, clients: int, seconds: float) -> tuple[Load, float]:
    """Let that many clients ask, each one request after the other; returns what they met, and how long it lasted."""
    met, began = Load(), time.monotonic()
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        while time.monotonic() - began < seconds:
            asked = time.monotonic()
            try:
                status, body = ask(connection, clip)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with lock:
                    met.failed.append(type(error).__name__)
                continue
            took = time.monotonic() - asked
            with lock:
                _note(met, status, body, took)
            if status == 429:
                time.sleep(0.5)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return met, time.monotonic() - began


def _note(met: Load, status: int, body: bytes, took: float) -> None:
    import json

    if status == 200:
        answer = json.loads(body)
        met.seconds.append(took)
        met.versions.add(answer["version"])
        if answer["status"] != "ok":
            met.failed.append(answer["status"])
    elif status == 429:
        met.refused += 1
    else:
        met.failed.append(str(status))


def first_answer(served: Served, clip: bytes) -> float:
    """Ask until there is an answer; returns the processor seconds that it took."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=120)
        try:
            if ask(connection, clip)[0] == 200:
                return served.processor_seconds()
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.5)
    raise RuntimeError(f"expected an answer within {_START_SECONDS:.0f} s, found none")


def over_time(served: Served, clip: bytes, minutes: float, change: bool) -> dict[str, Figure]:
    """Eight clients for that long, with memory every ten seconds."""
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(load(served.port, clip, 8, 60 * minutes)))
    thread.start()
    began, memory, changes = time.monotonic(), [], 0
    due = [20 * minutes, 40 * minutes] if change else []
    while thread.is_alive():
        memory.append(round(served.memory_mb(), 1))
        if due and time.monotonic() - began >= due[0]:
            due.pop(0)
            changes += change_champion()
        thread.join(10)
    met, lasted = result[0]
    later = memory[6:] or memory
    growth = max(later[-3:]) / later[0] - 1
    print(f"failed: {sorted(set(met.failed))}")
    return {
        **met.figures("long", lasted),
        "memory_mb": memory,
        "growth_after_first_minute": round(growth, 4),
        "changes": changes,
        "versions": sorted(met.versions),
    }


def change_champion() -> int:
    """Set the champion of the model that answers to another of its versions."""
    from tasks.serve.library import model_named
    from tasks.stage.workspace import workspace

    space = workspace()
    name = model_named(space, "")
    champion = space.catalogue.champion(name)
    others = [
        row.version
        for row in space.catalogue.model_versions(name)
        if champion is not None and row.version != champion.version
    ]
    if not others:
        raise RuntimeError(f"expected two versions of {name} to change between, found one")
    space.catalogue.set_alias(name, "champion", others[-1], "changed by the benchmark of the service")
    return 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Start a service, ask it, and end it."""
    options = parser(__doc__ or "")
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("--clip", type=Path, required=True)
    options.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    options.add_argument("--seconds", type=float, default=60.0, help="of each number of clients")
    options.add_argument("--minutes", type=float, default=10.0, help="of memory over time; 0: not")
    options.add_argument(
        "--change", action="store_true", help="change the champion under load (two versions needed)"
    )
    chosen = options.parse_args(arguments)
    seconds, minutes = (5.0, 0.5) if chosen.quick else (chosen.seconds, chosen.minutes)
    os.environ["MER_HOME"] = str(chosen.home)
    from infra.services.servers import free_port

    clip = chosen.clip.read_bytes()
    served = Served(chosen.home, free_port())
    figures: dict[str, Figure] = {}
    try:
        figures["first_answer_processor_seconds"] = round(first_answer(served, clip), 2)
        for clients in chosen.clients:
            before = served.processor_seconds()
            met, lasted = load(served.port, clip, clients, seconds)
            figures |= met.figures(str(clients), lasted)
            used = served.processor_seconds() - before
            figures[f"processor_ms_{clients}"] = round(1000 * used / max(1, len(met.seconds)), 1)
        if minutes:
            figures |= over_time(served, clip, minutes, chosen.change)
    finally:
        served.stop()
    for name, value in figures.items():
        print(f"{name:34} {value}")
    write_figures(chosen.json, figures)


if __name__ == "__main__":
    main()
