"""The served model: a package folder in memory, clips in, calibrated posteriors out."""
