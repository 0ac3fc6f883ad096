"""How good a clip is (speech, noise, light, a visible face), filters on it, and the challenge's noise."""
