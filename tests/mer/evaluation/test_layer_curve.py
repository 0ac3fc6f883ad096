from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mer.evaluation.figures import LayerScores, layer_curve


@pytest.mark.parametrize("layers", [2, 7, 25, 60])
def test_the_figure_is_wider_for_more_layers_and_has_equal_bytes(layers: int) -> None:
    mean = np.linspace(0.3, 0.6, layers)
    scores = LayerScores(mean, mean - 0.05, mean + 0.05, confidence=0.9)
    figure = layer_curve(scores, (1, 2), weights=np.full(layers, 1 / layers), title="x")
    assert figure == layer_curve(scores, (1, 2), weights=np.full(layers, 1 / layers), title="x")
    width, height = Image.open(io.BytesIO(figure)).size
    assert height == 507 and (width > 1100) == (layers >= 25)


def test_equal_scores_and_no_weights_can_be_drawn() -> None:
    flat = np.full(3, 0.5)
    assert layer_curve(LayerScores(flat, flat, flat)).startswith(b"\x89PNG")
