"""Module by stage: an edit changes the keys of exactly the stages that use what was edited. Run on a copy of the project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Edit(NamedTuple):
    """Text of a file, what it becomes, and the stages whose keys change (features by what is extracted)."""

    file: str
    old: str
    new: str
    stages: str = ""


VIEWS = (
    "adapter alignment alignment-study domain ensemble evaluation fusion layer-study model open_search "
    "pseudo-canary pseudo-checks pseudo-labels pseudo-round"
)
"""Stages that see a view of the data set."""
EXTRACTIONS = "speech text crops"
MEASURED = "drift-batch drift-reference"
"""Stages that read clips with a registered version."""
USED = {
    "waf is accuracy": Edit(
        "mer/evaluation/metrics.py",
        "return _ratio((per_class_f1(counts) * support).sum(axis=-1), support.sum(axis=-1))",
        "return accuracy(counts)",
        "adapter ensemble evaluation fusion layer-study open_search pseudo-canary pseudo-round figures",
    ),
    "the penalty of valence": Edit(
        "mer/evaluation/metrics.py", "VALENCE_PENALTY = 0.25", "VALENCE_PENALTY = 0.9",
        "evaluation fusion open_search",
    ),
    "the fill value of absent vectors": Edit(
        "mer/features/dataset.py",
        "values = np.zeros((len(clip_ids), *gathered.shape), dtype=gathered.dtype)",
        "values = np.full((len(clip_ids), *gathered.shape), 7, dtype=gathered.dtype)",
        f"alignment alignment-study domain {MEASURED} embed_aligned fusion layer-study open_search posteriors "
        "pseudo-checks figures",
    ),
    "the fill value of absent frames": Edit(
        "mer/features/dataset.py",
        "values = np.zeros((int(offsets[-1]), *gathered.shape), dtype=gathered.dtype)",
        "values = np.ones((int(offsets[-1]), *gathered.shape), dtype=gathered.dtype)",
        f"adapter domain {MEASURED} embed_adapted fusion layer-study open_search posteriors pseudo-checks figures",
    ),
    "the formula of the fusion model that is named": Edit(
        "mer/fusion/models/concat.py", "nn.ReLU()", "nn.GELU()", f"{MEASURED} fusion open_search posteriors figures",
    ),
    "the loss of valence": Edit(
        "mer/training/losses.py",
        "errors = (predicted - torch.nan_to_num(valence)) ** 2",
        "errors = (predicted - torch.nan_to_num(valence)).abs()",
        "fusion open_search",
    ),
    "pooling of adapted frames": Edit(
        "mer/adaptation/pooling.py",
        "return weighted_mean_std(hidden, mask.to(hidden.dtype))",
        "return weighted_mean_std(2 * hidden, mask.to(hidden.dtype))",
        f"adapter {MEASURED} embed_adapted",
    ),
    "the bottleneck adapter": Edit(
        "mer/adaptation/adapters.py", "return hidden + self.scale * update", "return hidden + update",
        f"adapter {MEASURED} embed_adapted",
    ),
    "the loss of the alignment": Edit(
        "mer/alignment/contrastive.py", "return (forward + backward) / 2", "return forward",
        "alignment alignment-study",
    ),
    "how an ensemble combines": Edit(
        "mer/ensemble/combine.py", "logs.sum(axis=0)", "logs.mean(axis=0)", f"{MEASURED} ensemble pseudo-labels"
    ),
    "inner folds": Edit(
        "mer/training/folds.py", "if not 0.0 < share <= 0.5:", "if not 0.0 < share <= 0.4:", f"{VIEWS} figures"
    ),
    "calibration": Edit(
        "mer/evaluation/calibration.py", "scaled = values * inverse", "scaled = values",
        "ensemble evaluation pseudo-checks pseudo-labels",
    ),
    "pooling of hidden states": Edit(
        "mer/features/pooling.py", "stacked = stacked.sum(dim=1)", "stacked = stacked.amax(dim=1)",
        f"{MEASURED} speech text",
    ),
    "the family of encoders that is named": Edit(
        "mer/encoders/wav2vec_family.py", "getattr(config, \"do_stable_layer_norm\", False)", "True",
        f"adapter {MEASURED} embed_adapted speech",
    ),
    "what a face detector finds": Edit(
        "mer/media/face_detection.py", "1.1, 4, minSize=(24, 24)", "1.2, 4, minSize=(24, 24)", f"crops {MEASURED}"
    ),
    "which face is followed": Edit(
        "mer/media/face_tracks.py", "(1 - min(1.0, off) / 2)", "(1 - min(1.0, off))", f"crops {MEASURED}"
    ),
    "what a decoding worker hears": Edit(
        "mer/media/audio.py", 'frozenset({"LFE", "LFE2"})', 'frozenset({"LFE"})', f"crops {MEASURED} speech"
    ),
    "which frames a decoding worker shows": Edit(
        "mer/media/frame_plan.py", "(np.arange(count) + 0.5) / count", "(np.arange(count) + 0.4) / count",
        f"crops {MEASURED} speech",
    ),
    "reading crops": Edit(
        "mer/features/faces.py", "return ClipFeature(faces.crops[None], ", "return ClipFeature(faces.crops[:1], ",
        f"crops {MEASURED}",
    ),
    "all extraction": Edit(
        "mer/features/multi.py", "features = self._finished(batch, prepared)", "features = self._finished(batch, prepared[:1])",
        f"{EXTRACTIONS} {MEASURED}",
    ),
    "what counts as alike of texts": Edit(
        "mer/features/text_coverage.py", "if len(set(words)) > 1", "if len(set(words)) > 2", "text-coverage"
    ),
    "which words are unknown": Edit(
        "mer/encoders/tokens.py", "word and token == unknown_id", "token == unknown_id", f"{MEASURED} text text-coverage"
    ),
    "priors under label shift": Edit(
        "mer/label_shift/likelihood.py", "_CYCLES = 500", "_CYCLES = 50", "drift evaluation pseudo-checks"
    ),
    "a guard": Edit(
        "mer/selftraining/guards.py", "worst = int(np.argmax(ratios))", "worst = 0", "pseudo-checks"
    ),
    "the package's folders": Edit(
        "mer/predictor/package.py", 'FUSION_FOLDER = "fusion"', 'FUSION_FOLDER = "one"', f"drift {MEASURED} model"
    ),
    "a variable around the compute function": Edit(
        "tasks/learn/adaptation.py", "keep = partition.train | partition.validation", "keep = partition.train",
        "adapter",
    ),
    "what a fusion reads": Edit(
        "tasks/data/streams.py", "return fused_vector(item.stream, frozen, adapted, aligned)",
        "return fused_vector(item.stream, frozen, None, aligned)",
        "domain fusion open_search posteriors pseudo-checks figures",
    ),
    "how a stream's vectors are joined": Edit(
        "mer/predictor/streams.py", "unaligned = concatenate(adapted, frozen)",
        "unaligned = concatenate(frozen, adapted)",
        f"domain {MEASURED} fusion open_search posteriors pseudo-checks figures",
    ),
    "what an alignment goes on from": Edit(
        "tasks/data/streams.py", "else select_layer(table, layer)", "else select_layer(table, 0)",
        "alignment alignment-study embed_aligned",
    ),
    "how far a clip lies from the training set": Edit(
        "mer/domain/gaussian.py", "np.sqrt(np.maximum(within, off))", "np.sqrt(within)", "domain"
    ),
    "the threshold of the domain": Edit(
        "mer/domain/fit.py", "(1 - share)))", "(1 - 2 * share)))", "domain"
    ),
    "the candidates of a search": Edit(
        "mer/search/candidates.py", "len(shown), stores)", "len(shown))", "open_search"
    ),
    "how a reader of packages reads": Edit(
        "mer/predictor/reading.py", "if served.read_layer is None:", "if not served.read_layer:",
        MEASURED,
    ),
    "what the rows of a batch are called": Edit(
        "mer/predictor/reading.py", "if clips_of[clip.name] == 1", "if clips_of[clip.name] < 2",
        MEASURED,
    ),
    "how speakers are exchanged": Edit(
        "mer/drift/exchange.py", "len(self.pairs))) < 0.5", "len(self.pairs))) < 0.4", "drift"
    ),
    "what is measured of a clip's features": Edit(
        "mer/predictor/measuring.py", "np.float32(np.nan))", "np.float32(0))", MEASURED
    ),
}  # fmt: skip
UNUSED = {
    "a benchmark's module": Edit("benchmarks/fusion/cost.py", "import ", "import time\nimport "),
    "a family of encoders that is not named": Edit(
        "mer/encoders/moonshine.py", "stride = 64 * 3 * 2", "stride = 64"
    ),
    "another one": Edit("mer/encoders/baichuan.py", "slopes = [2 **", "slopes = [3 **"),
    "a fusion model that is not named": Edit(
        "mer/fusion/models/late.py", "super().__init__(shape)", "super().__init__(shape or None)"
    ),
    "one more fusion model in the table": Edit(
        "mer/fusion/registry.py", '"late": ', '"later": "mer.fusion.models.late:Later",\n        "late": '
    ),
    "what converts weights": Edit("mer/encoders/moonshine_wheel.py", "LAYERS = 6", "LAYERS = 7"),
    "a docstring": Edit("mer/evaluation/metrics.py", "Weighted F1: F1 of every class", "Of every class"),
    "a comment": Edit("mer/stream_tables.py", "@dataclass", "# two tables\n@dataclass"),
    "layout": Edit("mer/evaluation/metrics.py", "VALENCE_PENALTY = 0.25", "VALENCE_PENALTY = (\n    0.25\n)"),
    "how streams of a recipe are ordered": Edit(
        "mer/recipes/modalities.py", "return known, modality, str(name)", "return known, str(name), modality"
    ),
    "a default of a recipe": Edit(
        "mer/recipes/recipe.py",
        "shard_clips: int = Field(default=256",
        "shard_clips: int = Field(default=128",
    ),
    "the description of an option": Edit(
        "mer/fusion/config.py", "Width of every hidden layer", "Width of hidden layers"
    ),
    "an import for types alone": Edit(
        "mer/fusion/fit.py",
        "from mer.errors import",
        "if TYPE_CHECKING:\n    from mer.alignment.fit import AlignmentFit\nfrom mer.errors import",
    ),
    "what a package imports on first use": Edit(
        "mer/encoders/__init__.py", 'if name == "load_acoustic":', 'if name in ("load_acoustic",):'
    ),
    "how far a prediction is trusted": Edit("mer/predictor/trust.py", "DOUBTED = 0.25", "DOUBTED = 0.5"),
    "what a prediction flags": Edit(
        "mer/predictor/inspection.py", "LEAST_SPEECH_SECONDS = 0.15", "LEAST_SPEECH_SECONDS = 0.3"
    ),
    "a reader of corpora": Edit("mer/corpora/meld.py", "import ", "import time\nimport "),
    "how a stage is run": Edit("tasks/stage/run.py", "started = time.monotonic()", "started = 0.0"),
    "a reference": Edit("tasks/stage/references.py", "clips: int\n", "clips: int\n    weight: int\n"),
    "infra": Edit("infra/artifacts.py", "PARTIAL_TTL_SECONDS = 3600.0", "PARTIAL_TTL_SECONDS = 60.0"),
    "the name a stage is tracked by": Edit(
        "tasks/learn/fusion.py", 'label=f"fuse {view.label} {job.system}"', 'label=f"fusion of {view.name}"'
    ),
    "what a task does after its stage": Edit(
        "tasks/serve/promotion.py", 'CHAMPION, CHALLENGER = "champion",', 'CHAMPION, CHALLENGER = "first",'
    ),
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Versions in the copy, plain and after each edit; one process for all, which imports no torch."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("mer", "tasks", "infra", "benchmarks"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("edited_copy.py")), str(copy / "weights")],
        input=json.dumps([list(edit)[:3] for edit in (*USED.values(), *UNUSED.values())]),
        env={**os.environ, "PYTHONPATH": str(copy)},
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", [*USED, *UNUSED])
def test_an_edit_changes_the_keys_of_exactly_the_stages_that_use_it(
    name: str, result: Mapping[str, Any]
) -> None:
    edits = USED | UNUSED
    after = result["edited"][list(edits).index(name)]
    changed = {stage for stage, version in result["stages"].items() if after[stage] != version}
    assert {stage.removeprefix("extraction_code ") for stage in changed} == set(edits[name].stages.split())


def test_every_stage_names_what_its_configuration_chose(result: Mapping[str, Any]) -> None:
    assert result["unnamed"] == {}
    assert len(result["stages"]) == 26
