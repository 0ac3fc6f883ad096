"""What a person sees of a run: tables and progress in the terminal, and the same as artifacts in the Prefect UI."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from flows.result_table import points
from flows.terminal import console, print_once
from infra.catalogue import GenerationRow
from mer.recipes.text_encoders import TextEncoder
from mer.training.partition import FINAL_VIEW
from tasks.data.ingestion import IngestReport
from tasks.data.named_files import NamedFilesReport
from tasks.serve.refit import Refit
from tasks.stage.references import ModelVersion, Promotion, Standing
from tasks.stage.run import StageResult

MANY_LAYERS = 14
"""More hidden states than that do not fit side by side in a terminal."""


def show_ingest(report: IngestReport) -> None:
    """Print how the corpus was recognised, the counts of its entries and the reasons for quarantine."""
    print_once(report.account.lines())
    aside = sum(report.quarantined.values())
    console.print(
        f"[bold]corpus {report.corpus}[/]: {report.entries} entries = {report.accepted} accepted + {aside} quarantined; "
        f"{report.labelled} labelled, {report.unlabelled} unlabelled, {report.speakers} speakers; "
        f"{report.probed_now} files read now"
    )
    if report.equal.shared:
        console.print(f"  equal content: {report.equal.shared} clips share theirs with others")
    for line in report.equal.lines():
        console.print(f"  {line}", markup=False)
    if report.quarantined:
        rows = [{"reason": reason, "files": count} for reason, count in sorted(report.quarantined.items())]
        create_table_artifact(rows, key="quarantine", description=f"quarantined files of {report.corpus}")
        console.print("  quarantined: " + ", ".join(f"{row['reason']} {row['files']}" for row in rows))


def show_named_files(report: NamedFilesReport) -> None:
    """What became of files that were named."""
    aside = sum(report.quarantined.values())
    console.print(
        f"[bold]corpus {escape(report.corpus)}[/]: of {report.files} files {report.accepted} catalogued now, "
        f"{report.known} known, {aside} quarantined"
    )
    for reason, count in sorted(report.quarantined.items()):
        console.print(f"  quarantined: {reason} {count}")
    for path in report.ignored:
        console.print(f"  not a media file of the corpus: {path}", markup=False, soft_wrap=True)


def show_remarks(remarks: Sequence[str]) -> None:
    """What to know of a corpus before anything is trained on it."""
    for line in remarks:
        console.print(f"  [yellow]note[/] {escape(line)}")


def show_refit(refit: Refit) -> None:
    """Whether models are fitted again, and why; nothing where that was not asked."""
    if not refit.lines:
        return
    since = f" since version {refit.since_version}" if refit.since_version is not None else ""
    console.print(f"[bold]growth[/]{since}: {escape('; '.join(refit.lines))}", soft_wrap=True)
    if refit.waiting:
        clips = "1 clip waits" if refit.waiting == 1 else f"{refit.waiting} clips wait"
        console.print(f"  {clips} for the next fit; features are extracted now")


def show_text_encoder(encoder: TextEncoder) -> None:
    """Print how much of the texts of a stream its encoder knows, and which one reads them; a warning where that is too little."""
    if not encoder.coverage.texts:
        return  # clips without a transcript are counted where the stream is
    if not encoder.warns:
        console.print(f"  texts of {encoder.line}", markup=False)
        return
    console.print(f"[yellow]warning[/]: texts of {escape(encoder.line)}")
    create_markdown_artifact(
        f"**Warning**: texts of {encoder.line}", key=artifact_key("texts", encoder.stream)
    )


def show_layers(studies: Mapping[str, StageResult], stream: str) -> None:
    """Score of every layer and the chosen block, per view."""
    console.print(layers_table(studies, stream))
    rows = [
        {
            "view": view,
            **{f"layer {i}": score for i, score in enumerate(_layer_scores(study))},
            "block": _block(study),
        }
        for view, study in studies.items()
    ]
    create_table_artifact(
        rows,
        key=artifact_key("layer-study", stream),
        description=f"score by hidden state of the {stream} encoder (0 = front end)",
    )


def layers_table(studies: Mapping[str, StageResult], stream: str) -> Table:
    """A row a view; the layers become the rows where there are too many to stand side by side."""
    table = Table(
        title=f"layer study, {stream} encoder (score on inner speaker-held-out folds)",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1),
    )
    cells = {view: _marked(_layer_scores(study)) for view, study in studies.items()}
    layers = len(next(iter(cells.values())))
    if layers <= MANY_LAYERS:
        table.add_column("view")
        for name in (*map(str, range(layers)), "best block"):
            table.add_column(name, justify="right", no_wrap=True)
        for view, study in studies.items():
            table.add_row(view, *cells[view], _block(study))
        return table
    table.add_column("layer")
    for view in studies:
        table.add_column(view, justify="right", no_wrap=True)
    for layer in range(layers):
        table.add_row(str(layer), *(column[layer] for column in cells.values()))
    table.add_row("best block", *(_block(study) for study in studies.values()))
    return table


def _layer_scores(study: StageResult) -> list[float]:
    return [float(score) for score in str(study.meta["scores"]).split(",")]


def _marked(scores: Sequence[float]) -> list[str]:
    best = scores.index(max(scores))
    return [f"[bold]{score:.3f}[/]" if i == best else f"{score:.3f}" for i, score in enumerate(scores)]


def _block(study: StageResult) -> str:
    return f"layers {int(study.meta['start']) + 1}-{study.meta['stop']}"


def show_adapters(adapters: Mapping[str, StageResult], stream: str) -> None:
    """Print the adapted layers of a stream's encoder and the score on validation speakers, per view."""
    rows = [{"view": view, **adapter.meta} for view, adapter in adapters.items()]
    create_table_artifact(
        rows, key=artifact_key("adaptation", stream), description=f"adapted {stream} encoder, per view"
    )
    shown = ", ".join(
        f"{row['view']} layers {int(row['start']) + 1}-{row['stop']}"
        + (f" WAF {float(row['validation_waf']):.3f}" if "validation_waf" in row else "")
        for row in rows
    )
    console.print(f"[bold]adaptation[/] of the {stream} encoder (validation speakers): {shown}")


def artifact_key(kind: str, stream: str) -> str:
    """Key of a stream's artifact in the Prefect UI: lower-case letters, digits and dashes."""
    return f"{kind}-{stream.lower().replace('_', '-')}"


def show_retrieval(alignments: Mapping[str, StageResult], trained: str, anchor: str) -> None:
    """Retrieval of the true partner on held-out clips, per view, of a stream aligned to an anchor."""
    rows = [{"view": view, **alignment.meta} for view, alignment in alignments.items()]
    create_table_artifact(
        rows,
        key=artifact_key("alignment", trained),
        description=f"retrieval {trained} <-> {anchor} on validation speakers",
    )
    console.print(retrieval_table(alignments[FINAL_VIEW].meta, trained, anchor))


def retrieval_table(final: Mapping[str, Any], trained: str, anchor: str) -> Table:
    """Recall at 1, 5 and 10 both ways beside chance, over all held-out clips and, where known, within speakers."""
    clips = float(final["retrieval_clips"])
    table = Table(
        title=f"alignment of {trained} to {anchor}, final view: partner found among {clips:.0f} held-out clips",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1),
    )
    for name in ("retrieval", "R@1", "R@5", "R@10"):
        table.add_column(name, justify="left" if name == "retrieval" else "right", no_wrap=True)
    older = "video_to_audio_r1" in final  # an alignment of 0.2.0 or before
    rows = {
        f"{anchor} by {trained}": "video_to_audio_r" if older else "trained_to_anchor_r",
        f"{trained} by {anchor}": "audio_to_video_r" if older else "anchor_to_trained_r",
        "chance": "chance_r",
    }
    for prefix, where in (("", ""), ("within_speaker_", " within speakers")):
        if f"{prefix}chance_r1" in final:
            for label, key in rows.items():
                cells = [f"{float(final[f'{prefix}{key}{rank}']):.3f}" for rank in (1, 5, 10)]
                table.add_row(f"{label}{where}", *cells)
    return table


def show_alignment_study(figures: Mapping[str, float], trained: str, anchor: str) -> None:
    """Retrieval, controls and probes of all outer folds' alignments on the speakers they never saw."""
    from mer.alignment.study_report import table_lines

    lines = table_lines(figures, trained, anchor)
    console.print(f"[bold]alignment of {trained} to {anchor} on held-out speakers[/]")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    text = "\n".join(lines)
    create_markdown_artifact(f"```\n{text}\n```", key=artifact_key("alignment-study", trained))


def show_selection(
    number: int, selected: Mapping[str, StageResult], findings: Sequence[Mapping[str, Any]]
) -> None:
    """Print a round's pseudo-labels, their estimated precision and the guards' findings, before any model learns from them."""
    final = selected[FINAL_VIEW].meta
    console.print(
        f"self-training, round {number}: {final['selected']} of {final['candidates']} new unlabelled clips labelled, "
        f"{_share(final['estimated_precision'])} right by held-out true labels"
    )
    console.print(selection_table(final))
    others = ", ".join(
        f"{view} {result.meta['selected']}" for view, result in selected.items() if view != FINAL_VIEW
    )
    console.print(f"  pseudo-labels of the other views: {others}")
    _print_findings(findings)
    rows = [
        {
            "view": view,
            **{name: result.meta[name] for name in ("candidates", "selected", "estimated_precision")},
        }
        for view, result in selected.items()
    ]
    create_table_artifact(
        rows, key="pseudo-label-views", description=f"pseudo-labels of round {number}, per view"
    )


def show_verdict(
    state: str, reason: str, findings: Sequence[Mapping[str, Any]], verdicts: Mapping[str, StageResult]
) -> None:
    """Print the state a round ended in, with the reason and the guards' findings, and what each view's own speakers say."""
    _print_findings(findings)
    console.print(f"  {'kept' if state == 'live' else state}: {reason}", markup=False)
    console.print(
        f"  weighted F1 on each view's own held-out speakers: {verdict_line(verdicts)}", markup=False
    )


def verdict_line(verdicts: Mapping[str, StageResult]) -> str:
    """Score before and after the round, and whether the view keeps its labels; one entry a view."""
    said = []
    for view, verdict in verdicts.items():
        before, after = verdict.meta["before"], verdict.meta["after"]
        scores = (
            "nobody is held out" if before is None else f"{points(float(before))} -> {points(float(after))}"
        )
        said.append(f"{view} {scores} ({'kept' if verdict.meta['kept'] else 'not kept'})")
    return ", ".join(said)


def _print_findings(findings: Sequence[Mapping[str, Any]]) -> None:
    for finding in findings:
        passed = "[green]ok[/]  " if finding["value"] is not None else "[dim]-[/]   "
        mark = passed if finding["passed"] else "[red]stop[/]"
        console.entry(f"  {mark} {escape(finding['reason'])}")


def selection_table(final: Mapping[str, Any]) -> Table:
    """Pseudo-labels of the served view by class: how many, from which confidence on, how often right on held-out clips."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    counts, thresholds, precision = (
        json.loads(final[name]) for name in ("counts", "thresholds", "precision")
    )
    table.add_column("")
    for name in counts:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row("pseudo-labels", *(str(count) for count in counts.values()))
    least = [thresholds.get(name) for name in counts]
    table.add_row("least confidence", *("none" if value is None else points(value) for value in least))
    known = [precision.get(name, (0, 0)) for name in counts]
    table.add_row("right on held-out", *(f"{right}/{count}" for right, count in known))
    return table


def show_generation(row: GenerationRow | None, standing: Standing) -> None:
    """Print the generation that a refresh made and the clips that wait for a decision."""
    if row is None:
        live = (
            f"{len(standing.generations)} generations are trained on"
            if standing.taught
            else "supervised model kept"
        )
        said = f"no new clips that the voters agree on; {live}"
    else:
        said = f"generation {row.number} ({row.key[:12]}, {sum(row.counts.values())} clips) is {row.state}: {row.reason}"
    console.print(f"[bold]pseudo-labels[/]: {said}")
    for line in standing.waiting:
        console.print(f"  [yellow]set aside[/]: {line}; `mer generations` shows them")
    guards = [
        f"- {('not measured' if item['value'] is None else 'ok') if item['passed'] else '**stop**'}: {item['reason']}"
        for item in (row.findings if row else ())
    ]
    create_markdown_artifact("\n\n".join([said, "\n".join(guards), *standing.waiting]), key="pseudo-labels")


def _share(value: float | None) -> str:
    return "unknown share" if value is None else f"{100 * value:.0f} %"


def show_promotion(version: ModelVersion, promotion: Promotion | None) -> None:
    """Print the registered version and the decision of the promotion gate."""
    decided = "registered only, no promotion asked for"
    if promotion:  # the gate's reasons begin with its decision, others do not
        said = promotion.reason.startswith(promotion.decision)
        decided = promotion.reason if said else f"{promotion.decision}: {promotion.reason}"
    champion = f"; champion is version {promotion.champion}" if promotion and promotion.champion else ""
    console.print(f"[bold]model {version.name} version {version.version}[/]: {decided}{champion}")
    create_markdown_artifact(f"**{version.name} v{version.version}**: {decided}{champion}", key="promotion")


def show_tracked_run(page: str | None) -> None:
    """Print where MLflow shows the run, and link its page at Prefect's; nothing where no run was tracked."""
    if page is None:
        return
    console.print(f"MLflow run {page}", markup=False, soft_wrap=True)
    create_link_artifact(page, link_text="figures, parameters and stages in MLflow", key="mlflow-run")
