"""Features: what a clip looks like to a frozen encoder, pooled or framewise, written in shards."""
