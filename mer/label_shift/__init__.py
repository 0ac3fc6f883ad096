"""Label shift: estimating the class priors of unlabelled clips, testing whether they differ, correcting for it (system B, 3)."""
