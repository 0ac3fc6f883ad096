"""The label map as people write it: `calm=neutral,fearful=worried,disgust=`."""

from __future__ import annotations

from mer.errors import ConfigError


def parse_label_map(text: str) -> dict[str, str | None]:
    """The corpus' own labels -> emotions; nothing after `=` stands for "no label".

    Raises:
        ConfigError: a part that is not `LABEL=EMOTION`, or a label twice.
    """
    labels: dict[str, str | None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        own, equals, ours = (piece.strip() for piece in part.partition("="))
        if not equals or not own or own in labels:
            raise ConfigError(
                f"label map: expected LABEL=EMOTION,... with every label once, found {part!r} in {text!r}"
            )
        labels[own] = ours or None
    return labels
