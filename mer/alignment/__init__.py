"""Alignment of the visual stream with the acoustic space (system A, 3): contrastive pre-training and retrieval."""
