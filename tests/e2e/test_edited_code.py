"""A whole `mer train` in a copy of the project: an edit of the metric trains again, an edit of its docstring does not."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from e2e_installation import Installation

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WORDS_ALONE = """
name: words
emotions: mer
folds: {count: 2, use_published: false}
lexical:
  features: {modality: lexical, source: "wheel:all-minilm-l6-v2", pooling: mean}
fusion: {epochs: 3}
shard_clips: 16
"""
METRICS = "mer/evaluation/metrics.py"
FORMULA = "return _ratio((per_class_f1(counts) * support).sum(axis=-1), support.sum(axis=-1))"


def _train(installation: Installation, copy: Path) -> Counter[str]:
    """Kinds of the artifacts that this run made."""
    before = installation.results()
    done = subprocess.run(
        installation.command(
            "train", "--recipe", str(copy / "words.yaml"), "--corpus", str(installation.corpus)
        ),
        env={**installation.variables(), "PYTHONPATH": str(copy)},
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return Counter(kind for kind, _ in installation.results().keys() - before.keys())


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.nightly
def test_an_edited_metric_trains_again_and_an_edited_docstring_does_not(
    installation: Installation, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    for name in ("mer", "tasks", "infra", "flows"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "words.yaml").write_text(WORDS_ALONE)
    first = _train(installation, copy)
    # three views of the fusion, and the two folds of the logistic regression that it is compared with
    assert first["fusion"] == first["posteriors"] == 5 and first["features"] and first["evaluation"] == 1

    _edit(copy / METRICS, "Weighted F1: F1 of every class", "F1 of every class")
    assert _train(installation, copy) == Counter()

    _edit(copy / METRICS, FORMULA, "return accuracy(counts)")
    again = _train(installation, copy)
    assert again["fusion"] == 5 and again["evaluation"] == 1
    assert not again["features"] and not again["dataset"], "what does not use the metric is found again"

    with installation.catalogue() as catalogue:
        records = catalogue.artifacts()
    assert {record.ref.kind for record in records} == {*first, *again}
    versions = json.dumps([dict(record.libraries) for record in records])
    assert all(set(record.libraries) >= {"torch", "transformers", "peft"} for record in records), versions
