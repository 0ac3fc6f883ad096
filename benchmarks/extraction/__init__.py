"""What extracting features costs, what sampling frames costs in score, and what new clips cost in a large catalogue."""
