"""Prediction: the champion answers for clips it has never seen."""

from __future__ import annotations

from flows.pipeline_flow import pipeline_flow
from flows.predict_options import PredictOptions
from mer.label_shift.given import parse_priors
from tasks.serve.prediction import PredictionReport, PredictionRequest
from tasks.serve.prediction_task import predict_files


@pipeline_flow("predict")
def predict(options: PredictOptions) -> PredictionReport:
    """Write a prediction for every media file under the paths (.csv, .json or .jsonl), or a submission for candidates."""
    return predict_files(
        PredictionRequest(
            paths=options.paths,
            out=options.out,
            model=options.model,
            version=options.version,
            candidates=options.candidates,
            corpus=options.corpus_name,
            label_shift=options.label_shift,
            priors=parse_priors(options.priors),
            speaker_clips=options.speaker_clips,
            transcripts=options.transcripts,
            policy=options.policy,
        )
    )
