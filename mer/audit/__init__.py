"""Whether a split is honest: what test clips share with the clips that a model learns from."""
