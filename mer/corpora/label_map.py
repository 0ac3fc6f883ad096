"""The label map as people write it: `calm=neutral,fearful=worried,disgust=`."""

from __future__ import annotations

from mer.errors import ConfigError


def parse_label_map(text: str) -> dict[str, str | None]:
    """The corpus' own labels -> emotions; nothing after `=` stands for "no label".

    Raises:
        ConfigError: a part that is not `LABEL=EMOTION`, or a label twice.
    """
    labels: dict[str, str | None] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        label, equals, emotion = (piece.strip() for piece in entry.partition("="))
        if not equals or not label or label in labels:
            raise ConfigError(
                f"label map: expected LABEL=EMOTION,... with every label once, found {entry!r} in {text!r}"
            )
        labels[label] = emotion or None
    return labels
