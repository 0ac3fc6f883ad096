"""Where a report's figures come from, looked up anew: a second, plain way from a source to its number.

A source is `ARTIFACT/FILE#POINTER`, `ARTIFACT/FILE?QUERY`, `snapshot?QUERY`, `comparison?QUERY` or `catalogue?QUERY`: see
docs/report.md.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from infra.catalogue import ModelVersionRow
from mer.evaluation.calibration import cross_fitted_probabilities
from mer.evaluation.metrics import waf
from mer.posteriors import Posteriors
from mer.predictor.package import RECORD, ModelPackage
from tasks.data.agreement import corpus_agreement
from tasks.data.dataset import earlier_dataset, load_examples
from tasks.report.run_figures import found_figures
from tasks.serve.comparison import compare_versions
from tasks.stage.references import SnapshotPlan
from tasks.stage.workspace import Workspace

VOID = ("meta", "link", "br", "hr", "img", "input")


class ShownFigures(HTMLParser):
    """What a page shows: (source, text) of every figure, and the texts of cells and remarks that are no figures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.figures: list[tuple[str, str]] = []
        self.bare: list[str] = []
        """Texts outside of figures, headings of rows and columns, code and drawings that are plain numbers."""
        self._open: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("data-from")))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1][0] == tag, (tag, self._open)
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if not data.strip():
            return
        source = next((source for _, source in reversed(self._open) if source is not None), None)
        tags = {tag for tag, _ in self._open}
        if source is not None:
            self.figures.append((source, data.strip()))
        elif not tags & {"style", "svg", "th", "code", "caption"} and re.fullmatch(
            r"\s*[+−-]?[\d,]*\.?\d+\s*%?\s*", data
        ):
            self.bare.append(data)


def number_of(text: str) -> tuple[float | None, float]:
    """The number that a text shows, and how far it may be off by rounding; None: a dash."""
    if text == "–":
        return None, 0.0
    digits = text.replace("\N{NARROW NO-BREAK SPACE}", "").replace("−", "-")
    share = digits.endswith("%")
    digits = digits.removesuffix("%").removesuffix("s").strip()
    decimals = len(digits.partition(".")[2].partition("e")[0])
    exponent = int(digits.partition("e")[2] or 0)
    off = 0.500001 * 10.0 ** (exponent - decimals)
    return (float(digits) / 100, off / 100) if share else (float(digits), off)


class Sources:
    """Looks numbers up in the artifacts and the catalogue of a version."""

    def __init__(self, space: Workspace, row: ModelVersionRow, against: ModelVersionRow | None) -> None:
        self.space, self.row, self.against = space, row, against
        self._files: dict[str, Any] = {}

    def look_up(self, source: str) -> float | None:
        place, hash_sign, pointer = source.partition("#")
        if hash_sign:
            return self._pointed(place, pointer)
        place, _, query = source.partition("?")
        asked = dict(parse_qsl(query, keep_blank_values=True))
        if place == "catalogue":
            return self._catalogued(asked)
        if place == "snapshot":
            return self._members(asked)
        if place == "comparison":
            return self._compared(asked)
        return self._predicted(place, asked)

    def _artifact(self, name: str) -> Any:
        if name.startswith("study "):
            begin = name.removeprefix("study ")
            (ref,) = [
                row.ref for row in self.space.catalogue.artifacts("study") if row.ref.key.startswith(begin)
            ]
            return ref
        figures = found_figures(self.space, self.row.evaluation)
        return {"model": self.row.artifact, "evaluation": self.row.evaluation, "figures": figures}[name]

    def _pointed(self, place: str, pointer: str) -> float | None:
        if place not in self._files:
            artifact, _, file = place.partition("/")
            self._files[place] = json.loads(self.space.artifacts.read(self._artifact(artifact), file))
        found = self._files[place]
        for step in pointer.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            found = found[int(step)] if isinstance(found, list) else found[step]
        return None if found is None else float(found)

    @cached_property
    def package(self) -> ModelPackage:
        return ModelPackage.parse(self.space.artifacts.read(self.row.artifact, RECORD))

    @cached_property
    def _corpus(self) -> str:
        origin = self.row.origin or {}
        return origin.get("corpus", self.row.name)  # where none is noted, model and corpus have one name

    def _clips(self, place: str) -> list[dict[str, Any]]:
        if place not in self._files:
            assert self.row.snapshot_id is not None
            artifact, _, file = place.partition("/")
            posteriors = Posteriors.from_parquet(self.space.artifacts.read(self._artifact(artifact), file))
            dataset = earlier_dataset.fn(
                self._corpus, SnapshotPlan.of(self.package.recipe), self.row.snapshot_id
            )
            assert dataset is not None
            examples = load_examples(self.space, dataset).examples
            folds = dict(zip(examples.clip_ids, examples.fold.tolist(), strict=True))
            members = {one.name: one for one in self.space.catalogue.snapshot_members(self.row.snapshot_id)}
            names = self.package.recipe.emotions
            clips = []
            for row, name in enumerate(posteriors.clip_ids):
                member = members[name]
                if member.emotion not in names:
                    continue
                logits = [float(value) for value in posteriors.logits[row]]
                scaled = [math.exp((value - max(logits)) / self.package.temperature) for value in logits]
                clips.append(
                    {
                        "name": name, "speaker": member.speaker, "truth": member.emotion, "fold": folds[name],
                        "predicted": names[logits.index(max(logits))], "logits": logits,
                        "probability": dict(zip(names, [value / sum(scaled) for value in scaled], strict=True)),
                    }
                )  # fmt: skip
            self._files[place] = clips
        found: list[dict[str, Any]] = self._files[place]
        return found

    def _predicted(self, place: str, asked: dict[str, str]) -> float | None:
        clips, measure = self._clips(place), asked.pop("measure")
        if measure in ("confidence", "right", "binned"):
            return self._binned(clips, measure, int(asked["bin"]), int(asked["bins"]))
        if measure == "probability":
            (one,) = [clip for clip in clips if clip["name"] == asked["clip"]]
            return float(one["probability"][asked["emotion"]])
        if measure in ("count", "share"):
            of = [clip for clip in clips if clip["truth"] == asked["truth"]]
            hits = sum(clip["predicted"] == asked["predicted"] for clip in of)
            return float(hits) if measure == "count" else _ratio(hits, len(of))
        if measure in ("recall", "precision", "f1", "true"):
            true = [clip for clip in clips if clip["truth"] == asked["emotion"]]
            said = [clip for clip in clips if clip["predicted"] == asked["emotion"]]
            right = sum(clip["predicted"] == clip["truth"] for clip in true)
            of = {"recall": len(true), "precision": len(said)}.get(measure)
            if measure == "true":
                return float(len(true))
            return _ratio(2 * right, len(true) + len(said)) if of is None else _ratio(right, of)
        chosen = [clip for clip in clips if all(clip[name] == value for name, value in asked.items())]
        if measure == "clips":
            return float(len(chosen))
        if measure == "accuracy":
            return _ratio(sum(clip["predicted"] == clip["truth"] for clip in chosen), len(chosen))
        assert measure == "waf", measure
        names = self.package.recipe.emotions
        counts = np.zeros((len(names), len(names)), np.int64)
        for clip in chosen:
            counts[names.index(clip["truth"]), names.index(clip["predicted"])] += 1
        return float(waf(counts))

    def _binned(self, clips: list[dict[str, Any]], measure: str, number: int, bins: int) -> float | None:
        names = self.package.recipe.emotions
        truth = np.array([names.index(clip["truth"]) for clip in clips])
        logits = np.array([clip["logits"] for clip in clips], np.float32)
        shares = cross_fitted_probabilities(logits, truth, np.array([clip["fold"] for clip in clips]))
        rows = [row for row in range(len(clips)) if min(int(shares[row].max() * bins), bins - 1) == number]
        if measure == "binned":
            return float(len(rows))
        values = [
            float(shares[row].max()) if measure == "confidence" else float(shares[row].argmax() == truth[row])
            for row in rows
        ]
        return _ratio(sum(values), len(values))

    def _members(self, asked: dict[str, str]) -> float:
        assert self.row.snapshot_id is not None
        members = self.space.catalogue.snapshot_members(self.row.snapshot_id)
        if (split := asked.get("split")) is not None:
            members = [one for one in members if (one.split == "test") == (split == "test")]
        if (emotion := asked.get("emotion")) is not None:
            members = [one for one in members if one.emotion is not None and emotion in ("*", one.emotion)]
        if (source := asked.get("source")) is not None:
            members = [one for one in members if one.label_source == source and one.emotion is not None]
        if asked["measure"] == "speakers":
            return float(len({one.speaker for one in members} - {None}))
        return float(len(members))

    def _compared(self, asked: dict[str, str]) -> float:
        assert self.against is not None
        compared = compare_versions(self.space, self.row, self.against)
        if "score" not in asked:
            return float(getattr(compared, asked["field"]))
        (score,) = [one for one in compared.scores if one.name == asked["score"]]
        return float(getattr(score, asked["field"]))

    def _catalogued(self, asked: dict[str, str]) -> float | None:
        catalogue = self.space.catalogue
        if (reason := asked.get("quarantined")) is not None:
            return float(sum(file.reason == reason for file in catalogue.quarantined(self._corpus)))
        if (key := asked.get("generation")) is not None:
            rows = catalogue.generations(self._corpus, self.package.recipe.name)
            (row,) = [one for one in rows if one.key == key]
            return _of_generation(row, asked["field"])
        if (field := asked.get("votes")) is not None:
            found = getattr(corpus_agreement(self.space, self._corpus), field)
            return None if found is None else float(found)
        if (annotator := asked.get("votes_of")) is not None:
            return self._votes_of(annotator, asked["field"])
        return self._quality(asked["quality"], asked["field"])

    def _votes_of(self, annotator: str, field: str) -> float | None:
        """Compared with most of the others, counted clip by clip; ties of the others are not compared."""
        compared = same = 0
        for votes in self.space.catalogue.votes(self._corpus).values():
            others = Counter(vote.emotion for vote in votes if vote.annotator != annotator)
            most = [emotion for emotion, count in others.items() if count == max(others.values())]
            for vote in votes:
                if vote.annotator == annotator and len(most) == 1:
                    compared, same = compared + 1, same + (vote.emotion == most[0])
        return float(compared) if field == "compared" else _ratio(same, compared)

    def _quality(self, column: str, field: str) -> float | None:
        from mer.recipes.face_detectors import quality_detector
        from tasks.data.quality import known_quality

        rows = self.space.catalogue.clips(self._corpus)
        known = known_quality(self.space, self._corpus, rows, quality_detector(self.package.recipe))
        values = [getattr(one, column) for one in known.values() if one is not None]
        there = sorted(value for value in values if value is not None)
        if field == "missing":
            return float(len(rows) - len(there))
        names: dict[str, Callable[[list[float]], float]] = {
            "minimum": min, "maximum": max, "median": lambda found: float(np.quantile(found, 0.5)),
            "lower_quartile": lambda found: float(np.quantile(found, 0.25)),
            "upper_quartile": lambda found: float(np.quantile(found, 0.75)),
        }  # fmt: skip
        return names[field](there) if there else None


def _of_generation(row: Any, field: str) -> float | None:
    if field in ("round", "labels"):
        return float(row.round) if field == "round" else float(sum(row.counts.values()))
    name, _, rest = field.partition("/")
    values: dict[str, Any] = getattr(row, name)
    emotion, slash, place = rest.rpartition("/") if name == "precision" else (rest, "", "")
    missing = (0, 0) if slash else 0 if name == "counts" else None
    found = values.get(emotion, missing)
    return None if found is None else float(found[int(place)] if slash else found)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def wrong_figures(page: str, sources: Sources) -> list[str]:
    """Figures of a page that are not what stands at their source, and numbers that name none."""
    shown = ShownFigures(page)
    wrong = [f"no source: {text.strip()}" for text in shown.bare]
    for source, text in shown.figures:
        said, off = number_of(text)
        there = sources.look_up(source)
        known = there is not None and math.isfinite(there)
        if not known and said is None:
            continue
        if not known or said is None or abs(said - float(there or 0.0)) > off:
            wrong.append(f"{source}: shown {text}, found {there}")
    return wrong
