"""The files of posteriors in an evaluation's artifact. Who reads them needs nothing of what writes them, Prefect among it."""

from __future__ import annotations

OUT_OF_FOLD, HOLDOUT = "out_of_fold.parquet", "holdout.parquet"
UNLABELLED = "unlabelled.parquet"
"""Answers for the unlabelled clips by the supervised system, which has learnt none of their pseudo-labels; logits are divided by
the temperature of its own out-of-fold ones: calibrated."""
