"""The review queue of a model: which clips people should look at, what they said, and what that gave."""
