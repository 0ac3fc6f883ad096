"""Processor time and memory of a command are those of its processes too."""

from __future__ import annotations

import os
import sys

import pytest

from benchmarks.spending import spent

INNER = """
import time
held = bytearray(150_000_000)
print("held", flush=True)
end = time.process_time() + 0.3
while time.process_time() < end:
    pass
time.sleep(0.8)
"""
BUSY = """
import time
while time.process_time() < 0.8:
    pass
print("done", flush=True)
time.sleep(5)
"""
LEAVING = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {BUSY!r}], stdout=subprocess.PIPE)
child.stdout.readline()
time.sleep(1.2)
os._exit(0)
"""
OUTER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {INNER!r}], check=True)"


def test_what_a_child_spends_counts() -> None:
    found = spent([sys.executable, "-c", OUTER], dict(os.environ))
    assert found.processor_seconds > 0.3
    assert found.peak_bytes > 150_000_000
    assert 0.5 < found.silent_seconds <= found.seconds


def test_a_command_that_fails_is_an_error_and_one_that_leaves_inputs_out_is_none() -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        spent([sys.executable, "-c", "raise SystemExit(1)"], dict(os.environ))
    assert spent([sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ)).seconds > 0


def test_what_a_process_spends_that_nobody_waits_for_counts() -> None:
    assert spent([sys.executable, "-c", LEAVING], dict(os.environ)).processor_seconds > 0.6
