"""Prediction: the champion answers for clips it has never seen."""

from __future__ import annotations

from prefect import flow

from flows.options import PredictOptions
from tasks.serve.prediction import PredictionReport, predict_files


@flow(name="predict")
def predict(options: PredictOptions) -> PredictionReport:
    """Write `name,discrete,valence,confidence` for every media file under the paths, or a submission for candidates."""
    return predict_files(
        options.paths,
        options.out,
        options.model,
        options.version,
        candidates=options.candidates,
        corpus=options.corpus_name,
        label_shift=options.label_shift,
    )
