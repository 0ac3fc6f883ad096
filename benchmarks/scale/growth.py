"""What grows with the catalogue: one new clip, listing, snapshot, a fit and a resume among a thousand to a million rows.

    python -m benchmarks.scale [--rows 1000 10000 100000 1000000] [--database sqlite|postgres] [--quick] [--json PATH]

A home below `--folder` grows to each number of rows, filled by the database's own bulk path with clips of two numbers
each as features (a tenth of them labelled). Measured is the processor time of the product's own functions, in one process
without Prefect, and of Postgres' backends. Of one clip, the lower quartile (on Postgres the mean) over `--repeats` new ones:
`ingest` (`mer ingest --only FILE`: probe, hash, catalogue), `features` (plan and extract that clip), `predict` (a warm `mer
predict FILE`). Of the whole corpus, once: `listing` (the corpora of `mer status`), `snapshot`, `growth` (whether to fit
again), `whole_ingest` (`mer ingest` with one new file; up to `--files` rows, whose files are made), `retrain` (a fit of the
served view with its answers for all clips; up to `--fits` rows). `resume`: a run of which 99 % was extracted plans the rest
in a process of its own; what it reads (files, cached or not, its own code among them) is compared with the clips' own bytes,
400 kB each. `--quick`: 1,000 and 10,000 rows. Postgres is the wheel's, as the full profile runs it; its reads are not
counted.

JSON keys, for each number of rows N: `<name>_ms_N` of ingest, features, predict; `<name>_s_N` of listing, snapshot, growth,
whole_ingest, retrain, resume, fill; `resume_read_percent_N`, `resume_read_mb_N`, `resume_peak_mb_N`, `resume_left_N`.
`one_clip_ratio`: features and prediction of one clip among the most rows over among the fewest (at most 1.2); `ingest_ratio`: the
same of its ingestion.
"""

from __future__ import annotations

import os
import shutil
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.command import Figure, parser, write_figures
from benchmarks.scale.resume import resume, resumed

ROWS = (1_000, 10_000, 100_000, 1_000_000)
QUICK = (1_000, 10_000)
ONE_CLIP = ("ingest_ms", "features_ms", "predict_ms")
SHOWN = (
    *ONE_CLIP, "listing_s", "snapshot_s", "growth_s", "whole_ingest_s", "retrain_s", "resume_read_percent",
    "resume_peak_mb", "resume_s", "fill_s",
)  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--rows", type=int, nargs="+", default=None, help="numbers of catalogue rows")
    options.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    options.add_argument("--folder", type=Path, default=Path(".mer/scale"), help="where homes are made")
    options.add_argument("--repeats", type=int, default=15, help="new clips that are measured")
    options.add_argument("--fits", type=int, default=100_000, help="most rows with a fit")
    options.add_argument("--files", type=int, default=100_000, help="most rows whose files are made")
    options.add_argument("--resume", action="store_true", help="(used by the benchmark itself)")
    chosen = options.parse_args()
    if chosen.resume:
        resume()
        return
    sizes = sorted(chosen.rows or (QUICK if chosen.quick else ROWS))
    folder = (chosen.folder / chosen.database).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    try:
        found = dict(_measured(folder, sizes, chosen))
    finally:
        _stop_postgres(folder)
        shutil.rmtree(folder, ignore_errors=True)
    figures: dict[str, Figure] = {
        f"{name}_{rows}": value for rows, values in found.items() for name, value in values.items()
    }
    few, many = found[sizes[0]], found[sizes[-1]]
    ratio = (many["features_ms"] + many["predict_ms"]) / (few["features_ms"] + few["predict_ms"])
    figures |= {"one_clip_ratio": ratio, "ingest_ratio": many["ingest_ms"] / few["ingest_ms"]}
    show(found, ratio)
    write_figures(chosen.json, figures)


def _measured(
    folder: Path, sizes: Sequence[int], chosen: Namespace
) -> Iterator[tuple[int, Mapping[str, float]]]:
    """Figures of one home that grows to each of these sizes."""
    from benchmarks.scale.filled import fill, make_model
    from benchmarks.scale.measures import one_clip, retrained, timed, whole_corpus
    from tasks.stage.workspace import workspace

    environment = {"MER_HOME": str(folder / "home"), **_database(folder, chosen.database)}
    os.environ.update(environment)
    space, root, before = workspace(), folder / "corpus", 0
    make_model(space, folder / "few")
    for rows in sizes:
        files, fits = rows <= chosen.files, rows <= chosen.fits
        seconds = timed(partial(fill, space, root, rows, before=before, with_files=files), space)
        figures = {**one_clip(space, root / f"new{rows}", chosen.repeats), "fill_s": seconds}
        _tell(rows, figures)
        figures |= whole_corpus(space, root / f"later{rows}", with_files=files, root=root)
        _tell(rows, figures)
        figures |= resumed(environment, rows)
        if fits:
            figures |= retrained(space)
        _tell(rows, figures)
        yield rows, figures
        before = rows


def _tell(rows: int, figures: Mapping[str, float]) -> None:
    print(f"{rows} rows: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()), flush=True)


def _database(folder: Path, kind: str) -> dict[str, str]:
    """Variables of a database of its own; empty for SQLite in the home."""
    if kind == "sqlite":
        return {}
    import psycopg
    from psycopg import sql

    from infra.services import start
    from infra.settings import load_settings

    server = start("postgres", load_settings(home=folder / "servers"))
    name = "scale"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return {"MER_DATABASE_URL": f"{server.rpartition('/')[0]}/{name}"}


def _stop_postgres(folder: Path) -> None:
    if (folder / "servers").exists():
        from infra.services import stop_all
        from infra.settings import load_settings

        stop_all(load_settings(home=folder / "servers"))


def show(found: Mapping[int, Mapping[str, float]], ratio: float) -> None:
    """The table for people, of at most 80 columns."""
    sizes = list(found)
    print(f"{'':20}" + "".join(f"{_rows(rows):>12}" for rows in sizes) + f"{'growth':>10}")
    for name in SHOWN:
        cells = [found[rows].get(name) for rows in sizes]
        known = [cell for cell in cells if cell is not None]
        growth = f"{known[-1] / known[0]:9.2f}x" if len(known) > 1 and known[0] else ""
        print(f"{name:20}" + "".join(f"{_cell(cell):>12}" for cell in cells) + growth)
    print(f"one new clip, extracted and predicted: {ratio:.2f} times (at most 1.2)")


def _rows(rows: int) -> str:
    return f"{rows // 1_000_000}M" if rows >= 1_000_000 else f"{rows // 1000}k"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def names() -> Sequence[str]:
    """Figures of the table, in their order."""
    return SHOWN
