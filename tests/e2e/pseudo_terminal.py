"""A command in a real terminal of so many columns: what it writes there, line by line, as the terminal would be told."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>()][A-Z0-9]?")


def shown_in_terminal(
    command: Sequence[str], variables: Mapping[str, str], columns: int = 80
) -> tuple[int, list[str]]:
    """Exit code, and the lines that were written: without colours, and of a line that was drawn anew what stood there last."""
    own = {name: value for name, value in variables.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        command, stdin=inside, stdout=inside, stderr=inside, env={**own, "TERM": "xterm-256color"},
        start_new_session=True,
    ) as process:  # fmt: skip
        os.close(inside)
        written = b""
        while True:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # Linux says so when the other side has gone
                break
            if not data:
                break
            written += data
        os.close(terminal)
    text = _CONTROL.sub("", written.decode("utf-8", "replace")).replace("\r\n", "\n")
    return process.returncode, [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]
