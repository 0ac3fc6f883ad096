"""What grows with the catalogue, from a thousand to a million rows."""
