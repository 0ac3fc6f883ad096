"""Scores, how sure we are of them, and the gate between challenger and champion."""
