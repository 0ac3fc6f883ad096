"""Whether encoders of full size fit, and what adapting a block of them costs."""
