"""What fusing streams costs at frame level, and what structures and decodings give."""
