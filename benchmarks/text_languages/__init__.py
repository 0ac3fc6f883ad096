"""Texts in several languages: what a multilingual sentence encoder gives over one of English."""
