"""Evaluation, promotion, prediction."""
