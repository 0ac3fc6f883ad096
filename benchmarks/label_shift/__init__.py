"""What estimating and correcting label shift gives, simulated and on real speakers."""
