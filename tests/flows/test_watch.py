"""A watch starts one run for each batch of new clips: whatever their order, whoever is killed, however files are written."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.watching.rule import Patience, Rule
from flows.watching.starters import State
from flows.watching.watch import MOST_ATTEMPTS, PAUSE_SECONDS, Watch, watch_key
from infra.catalogue import Catalogue, ClipUpsert, WatchBatchRow, open_catalogue
from infra.errors import StoreUnavailable
from mer.media.content_hash import sha256_file
from tasks.data.arrivals import Arrivals, FolderSource

SETTLE, QUIET, COUNT = 3.0, 1000.0, 3


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Ingests:
    """Runs that ingest all that lies in the folder, as flows do; each is done when it is asked for the second time."""

    def __init__(self, catalogue: Catalogue, folder: Path, corpus: str) -> None:
        self.catalogue, self.folder, self.corpus = catalogue, folder, corpus
        self.batches: list[int] = []
        self.ingested: list[str] = []
        self.answers: list[State] = []

    def start(self, batch: WatchBatchRow) -> str:
        self.batches.append(batch.number)
        known = self.catalogue.known_files(self.corpus)
        rows = []
        for path in sorted(self.folder.rglob("*.wav")):
            found = path.stat()
            file = known.get(str(path))
            if file is None or (file.size, file.mtime_ns) != (found.st_size, found.st_mtime_ns):
                self.ingested.append(path.name)
                rows.append(_clip(path))
        self.catalogue.upsert_clips(self.corpus, rows)
        return f"run {batch.number}"

    def state(self, batch: WatchBatchRow) -> State:
        return self.answers.pop(0) if self.answers else "done"

    def stop(self) -> None:
        pass


def _clip(path: Path) -> ClipUpsert:
    found = path.stat()
    return ClipUpsert(
        content=sha256_file(path), name=path.stem, path=str(path), size=found.st_size, mtime_ns=found.st_mtime_ns,
        duration_seconds=1.0, has_audio=True, has_video=False,
    )  # fmt: skip


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}") as opened:
        yield opened


class Bench:
    """A folder, a watch of it, and time that passes only when it is told to."""

    def __init__(self, catalogue: Catalogue, folder: Path, corpus: str = "clips") -> None:
        folder.mkdir(exist_ok=True)
        catalogue.upsert_corpus(corpus, root=folder, format="folder", emotions=["a", "b"])
        self.catalogue, self.folder, self.clock, self.corpus = catalogue, folder, Clock(), corpus
        self.key = watch_key(str(folder), "refresh")
        self.said: list[str] = []
        self.runs = Ingests(catalogue, folder, corpus)
        self.restart()

    def restart(self) -> None:
        """As after a kill: all that a watch had in memory is gone."""
        source = FolderSource(self.folder, self.corpus, SETTLE, self.clock)
        rule = Rule(COUNT, QUIET)
        self.watch = Watch(self.key, source, rule, self.runs, self.catalogue, self.said.append, self.clock)

    def look(self, seconds: float = 1.0, times: int = 1) -> None:
        for _ in range(times):
            self.clock.now += seconds
            self.watch.look()

    def settle(self) -> None:
        self.look(times=int(SETTLE) + 3)


@pytest.mark.parametrize("orders", [10, pytest.param(50, marks=pytest.mark.nightly)])
def test_all_orders_start_the_same_runs_and_ingest_every_clip_once(
    orders: int, catalogue: Catalogue, tmp_path: Path
) -> None:
    ends = {_end_of(catalogue, tmp_path / str(order), order) for order in range(orders)}
    assert len(ends) == 1, ends
    ((runs, ingested, _),) = ends
    assert runs == 4, "three clips, three clips, the seventh, and the late one"
    assert len(ingested) == len(set(ingested)) == 8


def _end_of(catalogue: Catalogue, folder: Path, order: int) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """Runs, names that were ingested (each as often as it was), contents that started them, after the events of this order."""
    draw = random.Random(order)
    bench = Bench(catalogue, folder, f"order{order}")
    events: list[Callable[[], None]] = [
        *(lambda number=number: _drop(bench, f"clip{number}", f"{number}" * 50) for number in range(5)),
        lambda: _grow(bench, "slow", draw),
        lambda: _drop(bench, "below/deeper", "deep" * 20),
    ]
    draw.shuffle(events)
    for position, event in enumerate(events):
        event()
        bench.settle()
        if position in (1, 4):  # what is there already, under another name
            first = min(bench.folder.glob("*.wav"), default=None)
            if first is not None:
                (bench.folder / f"again{position}.wav").write_bytes(first.read_bytes())
                bench.settle()
        if draw.random() < 0.5:
            bench.restart()
            bench.settle()
    bench.look(QUIET + 1, 2)
    bench.settle()
    _drop(bench, "late", "late" * 30)
    bench.settle()
    bench.look(QUIET + 1, 2)
    bench.settle()
    batches = catalogue.watch_batches(bench.key)
    assert [row.state for row in batches] == ["done"] * len(batches)
    assert [row.number for row in batches] == bench.runs.batches, "every batch ran once"
    ingested = [name for name in bench.runs.ingested if not name.startswith("again")]
    return len(batches), tuple(sorted(ingested)), tuple(sorted(catalogue.watched_contents(bench.key)))


def _drop(bench: Bench, name: str, text: str) -> None:
    path = bench.folder / f"{name}.wav"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def _grow(bench: Bench, name: str, draw: random.Random) -> None:
    path = bench.folder / f"{name}.wav"
    for part in ("first ", "second ", "third"):
        with path.open("a") as file:
            file.write(part * 10)
        bench.look(times=draw.randint(1, int(SETTLE) - 1))


@pytest.fixture
def bench(catalogue: Catalogue, tmp_path: Path) -> Bench:
    return Bench(catalogue, tmp_path / "clips")


def test_half_written_files_are_waited_for(bench: Bench) -> None:
    for number in range(3):
        _drop(bench, f"clip{number}", f"{number}" * 30)
    path = bench.folder / "slow.wav"
    for part in range(8):
        with path.open("a") as file:
            file.write(f"part {part}")
        bench.look(times=2)
    assert bench.runs.batches == [], "three are enough, and one is still written"
    bench.settle()
    assert bench.runs.batches == [1]
    (batch,) = bench.catalogue.watch_batches(bench.key)
    assert batch.clips == 4
    assert bench.runs.ingested.count("slow.wav") == 1


def test_a_file_that_is_written_for_ever_holds_nothing_up_for_ever(bench: Bench) -> None:
    for number in range(3):
        _drop(bench, f"clip{number}", f"{number}" * 30)
    path = bench.folder / "endless.wav"
    for _ in range(60):
        with path.open("a") as file:
            file.write("more")
        bench.look(QUIET / 40)
    assert bench.runs.batches == [1]


def test_what_the_corpus_has_starts_nothing(bench: Bench) -> None:
    _drop(bench, "known", "known" * 9)
    bench.catalogue.upsert_clips("clips", [_clip(bench.folder / "known.wav")])
    (bench.folder / "copy.wav").write_text("known" * 9)
    (bench.folder / ".hidden.wav").write_text("hidden" * 9)
    (bench.folder / "notes.txt").write_text("no clip" * 9)
    (bench.folder / "empty.wav").touch()
    bench.look(QUIET, 5)
    assert bench.runs.batches == []


def test_a_clip_that_cannot_be_used_starts_one_run_and_no_more(bench: Bench) -> None:
    """It stays outside the catalogue, in quarantine, and would be new for ever."""
    _drop(bench, "broken", "not media" * 9)
    bench.runs.catalogue = _Refusing(bench.catalogue)  # type: ignore[assignment]
    bench.look(QUIET / 2, 12)
    bench.restart()
    bench.look(QUIET / 2, 12)
    assert bench.runs.batches == [1]


class _Refusing:
    """A catalogue that takes no clip."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.known_files = catalogue.known_files

    def upsert_clips(self, corpus: str, rows: object) -> None:
        pass


def test_a_run_that_was_interrupted_is_started_again(bench: Bench) -> None:
    _drop(bench, "clip", "clip" * 9)
    bench.runs.answers = ["runs", "lost", "done"]
    bench.look(QUIET / 2, 9)
    assert bench.runs.batches == [1, 1]
    (row,) = bench.catalogue.watch_batches(bench.key)
    assert (row.state, row.attempts) == ("done", 2)
    assert any("interrupted" in line for line in bench.said)


def test_a_run_that_fails_is_given_up_in_the_end(bench: Bench) -> None:
    _drop(bench, "clip", "clip" * 9)
    bench.runs.answers = ["failed"] * 9
    bench.look(QUIET + 1, 3)
    assert bench.runs.batches == [1]
    bench.look(PAUSE_SECONDS / 2)
    assert bench.runs.batches == [1], "not at once"
    bench.look(PAUSE_SECONDS, 30)
    assert bench.runs.batches == [1] * MOST_ATTEMPTS
    (row,) = bench.catalogue.watch_batches(bench.key)
    assert row.state == "failed" and any("given up" in line for line in bench.said)
    _drop(bench, "another", "another" * 9)
    bench.runs.answers = []
    bench.look(QUIET + 1, 4)
    assert bench.runs.batches[-1] == 2, "the next clips start the next run"


def test_killed_between_the_batch_and_its_start(bench: Bench) -> None:
    _drop(bench, "clip", "clip" * 9)
    bench.catalogue.add_batch(bench.key, [sha256_file(bench.folder / "clip.wav")])
    bench.restart()
    bench.look(times=3)
    assert bench.runs.batches == [1]


def test_two_watches_share_their_batches(bench: Bench) -> None:
    first = bench.watch
    bench.restart()
    _drop(bench, "clip", "clip" * 9)
    for _ in range(6):
        bench.look(QUIET / 2)
        first.look()
    assert bench.runs.batches == [1]


def test_what_cannot_be_read_is_said_once_and_tried_again(bench: Bench) -> None:
    class Away:
        def look(self, catalogue: Catalogue) -> Arrivals:
            raise StoreUnavailable("the bucket does not answer")

    source = bench.watch.source
    bench.watch.source = Away()
    bench.look(times=20)
    assert len(bench.said) == 1 and "the bucket does not answer" in bench.said[0]
    bench.watch.source = source
    _drop(bench, "clip", "clip" * 9)
    bench.look(QUIET, 4)
    assert bench.runs.batches == [1]


@pytest.mark.parametrize(
    ("seen", "due"),
    [
        ([(0, 0, 0)], False),
        ([(0, 3, 0)], True),
        ([(0, 2, 0), (9, 2, 0)], False),
        ([(0, 2, 0), (10, 2, 0)], True),
        ([(0, 2, 0), (9, 1, 0), (11, 1, 0)], False),  # something changed: the quiet time begins anew
        ([(0, 3, 1)], False),
        ([(0, 3, 1), (5, 3, 2), (9, 4, 1)], False),
        ([(0, 3, 1), (5, 3, 2), (10, 4, 1)], True),  # written for ever
    ],
)
def test_when_it_is_time(seen: list[tuple[float, int, int]], due: bool) -> None:
    patience = Patience(Rule(count=3, quiet_seconds=10))
    answers = [
        patience.is_due(Arrivals(frozenset(map(str, range(new))), unfinished, new), now)
        for now, new, unfinished in seen
    ]
    assert answers[-1] is due and not any(answers[:-1])
