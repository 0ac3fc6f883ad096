"""Votes of several annotators on a clip: the label that follows, and how far annotators agree."""
