"""What a person sees and does of generations of pseudo-labels."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from flows.terminal import console
from infra.catalogue import ClipRow, GenerationRow, GenerationState
from mer.predictor.package import RECORD, ModelPackage
from tasks.stage.workspace import Workspace, existing_workspace, reading_workspace


def show_generations(corpus: str, recipe: str) -> None:
    """A line each, oldest first."""
    space = existing_workspace()
    rows = space.catalogue.generations(corpus or None, recipe or None) if space else []
    if not rows:
        console.print(
            "no generation of pseudo-labels yet: `mer refresh` or `mer run` makes them of unlabelled clips"
        )
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    right = ("no.", "clips", "round", "precision")
    for column in ("no.", "key", "recipe", "corpus", "clips", "round", "precision", "state", "made"):
        fixed = column not in ("recipe", "corpus")
        table.add_column(
            column, justify="right" if column in right else "left", no_wrap=fixed, overflow="fold"
        )
    for row in rows:
        cells = (row.key[:8], row.recipe, row.corpus, str(sum(row.counts.values())), str(row.round))
        table.add_row(str(row.number), *cells, _precision(row), row.state, f"{row.created_at:%m-%d %H:%M}")
    console.print(table)
    console.print(
        "precision: of held-out true labels under the same policy. live: trained on; rejected: did not help; stopped, withdrawn: "
        "their clips wait until they are released"
    )


def show_generation_details(which: str) -> None:
    """Everything that is known of one."""
    row = _find(reading_workspace(), which)
    console.print(f"[bold]generation {row.number}[/] {row.key}")
    console.print(
        f"  recipe {row.recipe}, corpus {row.corpus}, round {row.round}, made {row.created_at:%Y-%m-%d %H:%M} UTC"
    )
    console.print(f"  {row.state}: {row.reason or 'no reason given'}", markup=False)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("emotion", "clips", "least confidence", "right on held-out"):
        table.add_column(column, justify="left" if column == "emotion" else "right")
    for name, count in row.counts.items():
        threshold = row.thresholds.get(name)
        right, known = row.precision.get(name, (0, 0))
        table.add_row(
            name, str(count), "none" if threshold is None else f"{threshold:.3f}", f"{right}/{known}"
        )
    console.print(table)
    for system, model in row.voters.items():
        console.print(f"  voter {system}: {model[:60]}", markup=False)
    for finding in row.findings:
        measured = "ok  " if finding["value"] is not None else "-   "
        console.print(f"  {measured if finding['passed'] else 'stop'} {finding['reason']}", markup=False)
    console.print(f"  training set with it: {row.membership}")
    for text in _versions_taught_by(reading_workspace(), row):
        console.print(f"  learnt by {text}")


def _clips(space: Workspace, corpus: str, clip: str) -> list[ClipRow]:
    """Clips of a name or a content."""
    equal = [row for of, row in space.catalogue.clips_lying_at((), [clip]) if of == corpus]
    named = space.catalogue.clips(corpus, only=[clip])
    return list({row.name: row for row in (*named, *equal)}.values())


def show_trace(clip: str) -> None:
    """Labels of a clip, by name, or of all clips of a content."""
    space = reading_workspace()
    matches = [
        (corpus.name, row) for corpus in space.catalogue.corpora() for row in _clips(space, corpus.name, clip)
    ]
    if not matches:
        raise LookupError(f"no clip {clip!r}: expected a name or a content of the catalogue")
    for corpus_name, row in matches:
        labels = space.catalogue.pseudo_labels_of(corpus_name, row.name)
        console.print(
            f"[bold]{escape(row.name)}[/] of {corpus_name}, {row.content}: {len(labels)} pseudo-labels"
        )
        for generation, label in labels:
            voters = ", ".join(
                f"{system} {model.split('@')[-1][:12]}" for system, model in generation.voters.items()
            )
            earlier = "" if label.content == row.content else ", of another file that lay here then"
            console.print(
                f"  generation {generation.number} ({generation.state}): {label.emotion}, confidence "
                f"{label.confidence:.3f}, voted by {voters}{earlier}"
            )


def withdraw_generation(which: str, reason: str) -> None:
    """Take it out of training, and say who has learnt from it."""
    space = reading_workspace()
    row = space.catalogue.withdraw_generation(
        _find(space, which).key, reason or "withdrawn from the command line"
    )
    console.print(
        f"generation {row.number} is withdrawn: the next `mer run` trains without its {sum(row.counts.values())} labels, and its "
        "clips wait until `mer generations release`"
    )
    for text in _versions_taught_by(space, row):
        console.print(f"  learnt by {text}")


def restore_generation(which: str, reason: str) -> None:
    """Put it back into training."""
    space = reading_workspace()
    row = space.catalogue.restore_generation(
        _find(space, which).key, reason or "restored from the command line"
    )
    console.print(f"generation {row.number} is live again: the next `mer run` trains on it")


def release_generation(which: str, reason: str) -> None:
    """Give its clips back to the next refresh."""
    space = reading_workspace()
    row = space.catalogue.release_generation(
        _find(space, which).key, reason or "released from the command line"
    )
    console.print(f"generation {row.number} is released: the next refresh votes on its clips again")


def _find(space: Workspace, which: str) -> GenerationRow:
    rows = space.catalogue.generations()
    matches = [row for row in rows if which == str(row.number)] or [
        row for row in rows if len(which) >= 4 and row.key.startswith(which)
    ]
    if len(matches) != 1:
        raise LookupError(
            f"expected the number or key of one generation, found {len(matches)} for {which!r}; `mer generations` lists them"
        )
    return matches[0]


def _versions_taught_by(space: Workspace, row: GenerationRow) -> Sequence[str]:
    """Model versions that learnt from it; of a champion, how to put the one before it back."""
    descriptions = []
    for version in space.catalogue.model_versions():
        package = ModelPackage.parse(space.artifacts.read(version.artifact, RECORD))
        if row.key not in package.generations:
            continue
        champion = space.catalogue.champion(version.name)
        served = champion is not None and champion.version == version.version
        hint = f", the champion; `mer models {version.name} --rollback` puts the one before it back"
        descriptions.append(
            f"{version.name} version {version.version}{hint if served and row.state != GenerationState.LIVE else ''}"
        )
    return descriptions


def _precision(row: GenerationRow) -> str:
    right, known = (sum(pair[index] for pair in row.precision.values()) for index in (0, 1))
    return f"{right}/{known}" if known else ""
