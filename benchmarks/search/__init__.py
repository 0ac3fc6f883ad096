"""A hyper-parameter search against the toolkits' protocol."""
