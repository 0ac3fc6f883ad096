"""Speech recognition for clips that come without a transcript."""
