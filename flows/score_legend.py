"""What a score in a table is, for who sees it for the first time."""

WAF_LINE = "WAF: weighted F1, the mean of the classes' F1 by their shares; 1 is best"
"""Below every table that has the score of the challenges."""
