from __future__ import annotations

import numpy as np
import pytest
from made_clips import CONFIG, made

from benchmarks.alignment import mean_of_seeds
from mer.alignment.config import AlignmentStudyConfig
from mer.alignment.study import fitted, study_view
from mer.alignment.study_report import summarised


@pytest.mark.slow
def test_seeds_and_views_are_put_together() -> None:
    plain = AlignmentStudyConfig(control_seeds=2, permutations=100)
    clips = made(1.0, 0.3)
    seeds = [
        study_view(
            "fold0", clips, fitted(clips, CONFIG.model_copy(update={"seed": seed, "epochs": 3})), plain
        )
        for seed in (1, 2)
    ]
    both = mean_of_seeds(seeds)
    assert both.figures["trained_to_anchor_r5"] == pytest.approx(
        np.mean([one.figures["trained_to_anchor_r5"] for one in seeds])
    )
    assert len(both.controls["all"]) == 4
    assert seeds[0].controls["all"] != seeds[1].controls["all"], (
        "controls of different seeds are the same fits"
    )
    assert set(both.probe["raw"]) <= {0.0, 1.0}  # what was there before does not depend on the seed
    other = study_view("fold1", clips, fitted(clips, CONFIG.model_copy(update={"epochs": 3})), plain)
    pooled = summarised([both, mean_of_seeds([other, other])], plain)
    assert pooled["retrieval_clips"] == 150 and pooled["views"] == 2
    middle = np.mean([np.mean(np.array(one.hits)[:, 0]) for one in (both, other)])
    assert pooled["r1"] == pytest.approx(middle, abs=1e-5)
    assert pooled["control_all_r1_fits"] == 4
