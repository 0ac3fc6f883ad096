"""Refresh (system B): new unlabelled clips -> vote -> pseudo-labels -> retraining -> a candidate that is compared, not served.

The same stages as the main flow (`flows.self_training` has the rounds): what is not touched by new clips is found again by its
key. The gate compares the candidate with the champion on the holdout and out of fold only when `promote` asks for it.
"""

from __future__ import annotations

from flows.options import RefreshOptions
from flows.pipeline_flow import pipeline_flow
from flows.retrain import RetrainReport, retrained


@pipeline_flow("refresh")
def refresh(options: RefreshOptions) -> RetrainReport | None:
    """Self-training on what is unlabelled now; registers what it trained as a candidate."""
    return retrained(options)
