"""Acoustic adaptation (system A, 1 and 2): which layers tell emotion, and adapting those."""
