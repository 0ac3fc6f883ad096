"""What rounds of pseudo-labels give, with and without label shift."""
