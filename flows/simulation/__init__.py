"""Stories on a made corpus in a home of their own: what is planted, what notices it, what is refused, what is served."""
