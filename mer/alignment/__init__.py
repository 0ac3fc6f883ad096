"""Alignment of the visual stream with the acoustic space (system A, 3).

Contrastive pre-training and retrieval.
"""
