"""From a folder of precomputed features to a submission, at a challenge's size."""
