"""Where the training set lies in what a system reads: which clips are too far from it for a confident answer."""
