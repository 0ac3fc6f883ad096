"""Corpus readers: what a folder of clips holds, as its owner laid it out, read unchanged."""

from mer.corpora.reading import LeftOut, RecognisedCorpus
from mer.corpora.recognise import recognise

__all__ = ["LeftOut", "RecognisedCorpus", "recognise"]
