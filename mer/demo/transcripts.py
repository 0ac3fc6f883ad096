"""What the demo's speakers say: short sentences by emotion, and sentences that fit any."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

_TEMPLATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neutral": (
            "The {meeting} starts at {hour}.",
            "I put the {thing} on the {place}.",
            "We usually take the {vehicle} home.",
            "It is about {hour} now.",
            "The {thing} is in the other {room}.",
            "You can find it on page {number}.",
            "The shop closes at {hour} today.",
            "Please sign the form in the {room}.",
        ),
        "angry": (
            "Stop touching my {thing} right now!",
            "You lied about the {meeting} again!",
            "I am so sick of this {thing}!",
            "Get out of my {room}!",
            "How dare you take my {thing}!",
            "That is completely unfair and you know it!",
            "I hate it when {person} shouts at me!",
            "Shut up about the stupid {meeting}!",
        ),
        "happy": (
            "I love this wonderful {thing}!",
            "We won the prize, what a great day!",
            "{person} is coming home, I am so glad!",
            "This is the best {thing} ever!",
            "Great news, the {meeting} was a success!",
            "What a lovely {room}, thank you so much!",
            "I had such fun with {person}!",
            "Congratulations, that is fantastic!",
        ),
        "sad": (
            "I miss {person} so much.",
            "I lost the {thing} she gave me.",
            "Nobody came to my {meeting}.",
            "It hurts, and I am all alone.",
            "We had to say goodbye to {person}.",
            "I cried in the {room} all night.",
            "My old {thing} is gone for ever.",
            "There is nothing left for me now.",
        ),
        "worried": (
            "What if {person} does not come back?",
            "I am afraid the {vehicle} will be late.",
            "I hope the {thing} is not broken.",
            "Something may be wrong with {person}.",
            "I am nervous about the {meeting}.",
            "Do you think we are in danger?",
            "What if we miss the {vehicle}?",
            "I cannot sleep before the {meeting}.",
        ),
        "surprise": (
            "Wow, I never expected {person} here!",
            "What, is this {thing} for me?",
            "No way, {person} did that?",
            "Oh my, look at that {thing}!",
            "Really, the {meeting} is today?",
            "I cannot believe my eyes!",
            "Suddenly there was a {thing} in my {room}!",
            "Unbelievable, how did you do that?",
        ),
    }
)

_ANY_EMOTION: tuple[str, ...] = (
    "{person} is in the {room}.",
    "I saw the {thing} this morning.",
    "Then we went to the {meeting}.",
    "You said it was in the {room}.",
    "So {person} took the {vehicle}.",
    "I told {person} about the {thing}.",
    "It was {hour} when you called.",
    "They are talking in the {room}.",
    "That is what {person} said.",
    "I did not know about the {meeting}.",
)

_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "meeting": ("meeting", "lesson", "party", "concert", "exam", "match", "interview", "wedding"),
        "hour": ("seven", "half past nine", "ten", "noon", "four", "a quarter to six"),
        "thing": (
            "letter",
            "bag",
            "phone",
            "book",
            "jacket",
            "camera",
            "guitar",
            "bicycle",
            "painting",
            "key",
        ),
        "place": ("table", "shelf", "chair", "floor", "desk"),
        "vehicle": ("train", "bus", "plane", "ferry", "taxi"),
        "room": ("kitchen", "office", "garden", "hall", "house", "library"),
        "number": ("two", "eleven", "thirty", "forty five"),
        "person": (
            "Anna",
            "Peter",
            "my sister",
            "the teacher",
            "Maria",
            "our neighbour",
            "David",
            "my friend",
        ),
    }
)


def compose(emotion: str | None, generator: np.random.Generator) -> str:
    """Compose a sentence whose words carry `emotion`; None gives one that fits any emotion."""
    templates = _ANY_EMOTION if emotion is None else _TEMPLATES[emotion]
    sentence = templates[generator.integers(len(templates))]
    for slot, words in _WORDS.items():
        if f"{{{slot}}}" in sentence:
            sentence = sentence.replace(f"{{{slot}}}", words[generator.integers(len(words))])
    return sentence[0].upper() + sentence[1:]
