"""What the OpenAPI description says holds for whatever is sent: no status, content type or form beside it, and no bug (500).

Requests are made up by schemathesis out of the description, right ones and wrong ones; uploads are real media as well, features
also those that the model reads. That every described request is accepted is not asked for: no description says which corpora,
clips and streams there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served_home import CORPUS, add_corpus, write_sound
from small_model import register_small

from flows.service.app import build_app
from flows.service.limits import ServiceLimits
from flows.service.state import open_service
from mer.demo.clip_file import write_clip
from tasks.stage.workspace import workspace

schemathesis = pytest.importorskip("schemathesis", reason="the extra `described` is not installed")
pytestmark = pytest.mark.slow
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
KNOWN = {"corpus": CORPUS, "clip": "a", "name": "small", "model": "small", "reviewer": "ann"}
"""What the made home has, for parameters of these names."""

NEEDS_A_QUEUE = {f"POST /api/review/{what}" for what in ("next", "decide", "release", "undo")}
"""What is answered only where a model with an evaluation has made a queue: tests of its own ask for it."""


def media_files(folder: Path) -> dict[str, bytes]:
    """Real media and what only looks like them."""
    sound = write_sound(folder / "a.wav").read_bytes()
    picture = np.full((6, 32, 32, 3), 90, dtype=np.uint8)
    picture[:, 8:20, 8:20] = 200
    write_clip(folder / "b.mp4", picture, 12, np.zeros(8_000, dtype=np.float32), 16_000)
    video = (folder / "b.mp4").read_bytes()
    return {
        "a.wav": sound, "b.mp4": video, "cut.mp4": video[: len(video) // 2], "cut.wav": sound[:60], "empty.mp4": b"",
        "junk.mkv": bytes(range(256)) * 4, "list.mp4": b"#EXTM3U\nhttp://127.0.0.1:1/a.ts\n", "=cmd().wav": sound,
    }  # fmt: skip


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, bytes]]]:
    """The description of a running application, and files to send to it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("described")
        patch.setenv("MER_HOME", str(folder / "home"))
        register_small(workspace(), folder / "package", measured=True)
        add_corpus(workspace(), folder / "corpus")
        service = open_service(workspace(), ServiceLimits(request_clips=4, clip_seconds=5))
        assert service.answering is not None
        service.answering.champion.look()
        try:
            yield schemathesis.openapi.from_asgi("/openapi.json", build_app(service)), media_files(folder)
        finally:
            service.answering.stop()


def holding(case: Any, draw: Callable[[Any], Any], files: dict[str, bytes]) -> Any:
    """The request, often with what the home has in place of what was made up."""
    for values in (case.query, case.path_parameters):
        for name in set(values or {}) & set(KNOWN):
            if draw(st.booleans()):
                values[name] = KNOWN[name]
    sent = {name: (name, content) for name, content in files.items()}
    some_file = st.sampled_from(sorted(sent)).map(sent.__getitem__)
    path = case.operation.path
    if path.endswith("/batch") and draw(st.booleans()):
        return {"files": [("files", one) for one in draw(st.lists(some_file, min_size=1, max_size=5))]}
    if case.media_type == "multipart/form-data" and draw(st.booleans()):
        words = draw(st.sampled_from(["so glad", "", "\0", "é" * 50]))
        return {"files": {"file": draw(some_file)}, "data": {"transcript": words}}
    if path.endswith("/features") and draw(st.booleans()):
        width = draw(st.sampled_from([3, 3, 3, 2]))
        vector = st.lists(NUMBERS, min_size=width, max_size=width)
        stream = st.sampled_from(["acoustic", "acoustic", "acoustic", "visual"])
        features = st.dictionaries(stream, vector | st.lists(vector, min_size=1, max_size=3), min_size=1)
        clip = st.fixed_dictionaries({"name": st.text(min_size=1, max_size=5), "features": features})
        return {"json": {"clips": draw(st.lists(clip, min_size=1, max_size=5))}}
    return {}


def explore(described: tuple[Any, dict[str, bytes]], examples: int) -> dict[str, Counter[int]]:
    """Ask every operation so many times, rightly and wrongly; how often it answered with which status."""
    from schemathesis.specs.openapi import checks

    schema, files = described
    conformance = [
        checks.status_code_conformance, checks.content_type_conformance, checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]  # fmt: skip
    seen: dict[str, Counter[int]] = {}
    broken: dict[str, str] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        counts = seen.setdefault(operation.label, Counter())
        modes = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]

        def asked(data: Any, cases: Any, counts: Counter[int]) -> None:
            case = data.draw(cases)
            response = case.call(**holding(case, data.draw, files))
            counts[response.status_code] += 1
            assert response.status_code != 500, response.text
            case.validate_response(response, checks=conformance)

        exploring = settings(
            max_examples=examples, deadline=None, database=None, derandomize=True, print_blob=False,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        try:
            exploring(given(st.data(), st.just(st.one_of(modes)), st.just(counts))(asked))()
        except Exception as error:  # schemathesis' groups hold what differs and the request that shows it
            broken[operation.label] = "; ".join(map(str, getattr(error, "exceptions", [error])))[:1500]
    assert broken == {}
    return seen


def check_explored(seen: dict[str, Counter[int]]) -> None:
    """Every operation was asked, and those that answer for clips did so and refused."""
    assert len(seen) >= 18, sorted(seen)
    for operation in ("predict", "predict/batch", "predict/features", "predict/explain"):
        counts = seen[f"POST /api/{operation}"]
        assert counts[200] and counts[422] > 0, (operation, counts)
    refused = {operation for operation, counts in seen.items() if not (counts[200] or counts[201])}
    assert refused <= NEEDS_A_QUEUE, refused


def test_the_description_holds(described: tuple[Any, dict[str, bytes]]) -> None:
    check_explored(explore(described, 15))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_the_description_holds_for_many_requests(described: tuple[Any, dict[str, bytes]]) -> None:
    check_explored(explore(described, 60))
