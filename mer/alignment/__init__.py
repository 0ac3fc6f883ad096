"""Alignment of one stream (the trained side) with the space of another (the anchor) (system A, 3).

Contrastive pre-training and retrieval.
"""
