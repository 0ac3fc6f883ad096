"""Prediction as a task of a flow."""

from __future__ import annotations

from prefect import task

from tasks.serve import prediction
from tasks.serve.prediction import PredictionReport, PredictionRequest


@task(name="predict")
def predict_files(request: PredictionRequest) -> PredictionReport:
    """Run by the process that was asked, which has the clips and writes the answers: no worker of another machine could.

    See `tasks.serve.prediction.answer`; the answers lie in the file that the report names."""
    return prediction.predict_files(request)
