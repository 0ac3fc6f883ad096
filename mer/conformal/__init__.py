"""Answers that say when they do not know: prediction sets at a chosen coverage, and abstention at a chosen risk."""
