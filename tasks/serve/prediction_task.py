"""Prediction as a task of a flow."""

from __future__ import annotations

from prefect import task

from tasks.serve import prediction
from tasks.serve.prediction import PredictionReport, PredictionRequest


@task(name="predict", tags=["gpu"])
def predict_files(request: PredictionRequest) -> PredictionReport:
    """See `tasks.serve.prediction.answer`; the answers lie in the file that the report names."""
    return prediction.predict_files(request)
