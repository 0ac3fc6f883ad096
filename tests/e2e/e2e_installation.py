"""A home of its own and the command line in it, as a test drives them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.catalogue import Catalogue, open_catalogue
from infra.settings import Settings, load_settings

TINY = Path(__file__).parent / "tiny.yaml"
CLIPS = 36


@dataclass(frozen=True)
class Installation:
    """A home of its own, and the command line in it."""

    home: Path
    corpus: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "flows.cli", *arguments]

    def variables(self) -> dict[str, str]:
        plain = {
            name: value for name, value in os.environ.items() if not name.startswith(("MER_", "PREFECT_"))
        }
        return {
            **plain,
            "MER_HOME": str(self.home),
            "MER_COMPUTE_THREADS": "1",
            "COLUMNS": "160",
            **self.environment,
        }

    def mer(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            env=self.variables(),
            capture_output=True,
            text=True,
            timeout=420,
            check=False,
        )
        partly = arguments[:1] == ("predict",) and done.returncode == 3  # the demo corpus has broken files
        assert not check or partly or done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.mer("run", "--recipe", str(TINY), "--corpus", str(self.corpus), "--name", "tiny", *more)

    def run_and_kill(self, when: Callable[[Catalogue], bool], seconds: float = 300.0) -> bool:
        """Start a run and kill -9 its process group as soon as `when` holds; False if it ended before."""
        process = subprocess.Popen(
            self.command("run", "--recipe", str(TINY), "--corpus", str(self.corpus), "--name", "tiny"),
            env=self.variables(), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + seconds
        with self.catalogue() as catalogue:
            while process.poll() is None and time.monotonic() < deadline:
                if when(catalogue):
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    return True
                time.sleep(0.05)
        process.wait()
        return False

    def settings(self) -> Settings:
        values = {name.removeprefix("MER_").lower(): value for name, value in self.environment.items()}
        return load_settings(
            home=self.home, **{k: v for k, v in values.items() if k in Settings.model_fields}
        )

    def catalogue(self) -> Catalogue:
        return open_catalogue(self.settings())

    def results(self) -> dict[tuple[str, str], str]:
        """(kind, key) -> manifest sha256 of every artifact whose bytes must not depend on how the run went."""
        with self.catalogue() as catalogue:
            return {(record.ref.kind, record.ref.key): record.ref.sha256 for record in catalogue.artifacts()}
