"""What every system is: a kind that fits, and a fitted system that answers, explains, and is saved and loaded."""
