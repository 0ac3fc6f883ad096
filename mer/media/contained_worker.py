"""The process in which media are decoded: `python -m mer.media.contained_worker`, started by `mer.media.contained`.

One request a line on standard input (JSON), one answer on standard output: a line of JSON, followed by the bytes of
an array where there is one. No pickle in either direction: what a hostile file makes of this process can only send
data. The process ends with its standard input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mer.errors import MediaError, QuarantineReason
from mer.media.audio import decode_audio
from mer.media.frames import sample_frames
from mer.media.opening import MediaLimits
from mer.media.probe import probe
from mer.media.process_limits import limit_memory, limit_processor_time

_READERS: dict[str, Callable[..., NDArray[Any]]] = {
    "decode_audio": decode_audio,
    "sample_frames": sample_frames,
}

Answer = tuple[dict[str, Any], NDArray[Any] | None]


def answer(request: dict[str, Any]) -> Answer:
    """Carry out one request; returns the reply and the array that goes with it."""
    path, limits = Path(request["path"]), MediaLimits.model_validate(request["limits"])
    try:
        if request["call"] == "probe":
            return {"probe": asdict(probe(path, limits))}, None
        read = _READERS[request["call"]]
        values: NDArray[Any] = np.ascontiguousarray(read(path, limits=limits, **request["options"]))
    except MediaError as error:
        return _refusal(error.reason, str(error), transient=error.transient), None
    except MemoryError:
        return _refusal(QuarantineReason.TOO_LARGE, f"{path.name}: takes more memory than a clip may"), None
    except Exception as error:  # one clip must not end a batch: whatever it is becomes that clip's reason
        message = f"{path.name}: {type(error).__name__}: {error}"
        return _refusal(QuarantineReason.DECODER_CRASHED, message), None
    return {"dtype": values.dtype.str, "shape": values.shape}, values


def _refusal(reason: QuarantineReason, message: str, *, transient: bool = False) -> dict[str, Any]:
    return {"reason": reason.value, "message": message, "transient": transient}


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        request = json.loads(line)
        limit_processor_time(request["limits"]["timeout_seconds"])
        head, values = answer(request)
        answers.write(json.dumps(head).encode() + b"\n")
        if values is not None:
            answers.write(values.data.cast("B") if values.size else b"")
        answers.flush()


def main() -> None:
    """Serve the process that started this one; its first request line is the memory limit."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a codec prints goes elsewhere
    limit_memory(json.loads(sys.stdin.buffer.readline())["memory_bytes"])
    answers.write(b"ready\n")
    answers.flush()
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
