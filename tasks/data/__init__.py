"""From a corpus to arrays: ingestion, quality, transcripts, features, snapshots, streams."""
