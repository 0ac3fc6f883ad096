"""Which test files `make test` leaves to `make test-long`: `tests/long_files.txt`, made from the durations of a run.

    python -m pytest -q -n auto -m 'not slow and not nightly and not gpu and not fault' --durations=0 --durations-min=0.02 > LOG
    python tests/long_files.py LOG > tests/long_files.txt

Files are taken from the longest on, until what is left takes the share `LEFT` of the time.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

LEFT = 0.07
_LINE = re.compile(r"([\d.]+)s (?:call|setup|teardown)\s+([^:\s]+)::")


def longest(log: str) -> list[str]:
    """Files to leave out, by name."""
    seconds: Counter[str] = Counter()
    for line in log.splitlines():
        if found := _LINE.match(line):
            seconds[found[2]] += float(found[1])
    left, total, taken = sum(seconds.values()), sum(seconds.values()), []
    for name, spent in seconds.most_common():
        if left <= LEFT * total:
            break
        left -= spent
        taken.append(name)
    return sorted(taken)


if __name__ == "__main__":
    sys.stdout.write(
        "\n".join(longest(Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace"))) + "\n"
    )
