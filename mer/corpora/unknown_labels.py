"""What to say about labels outside the emotion set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mer.emotions import nearest_emotion

_LABELS_SHOWN = 20
_EXAMPLES_SHOWN = 4


def how_to_map(unknown: Mapping[str, int], emotions: Sequence[str]) -> str:
    """One line: which labels there are, what was probably meant, and how to say what they are.

    Args:
        unknown: label -> rows.
        emotions: the emotion set.
    """
    labels = sorted(unknown)
    counts = ", ".join(f"{label} ({unknown[label]})" for label in labels[:_LABELS_SHOWN])
    if len(labels) > _LABELS_SHOWN:
        counts += f" and {len(labels) - _LABELS_SHOWN} more"
    near = {label: emotion for label in labels if (emotion := nearest_emotion(label, emotions))}
    meant = "".join(
        f" By {label}, did you mean {emotion}?" for label, emotion in list(near.items())[:_EXAMPLES_SHOWN]
    )
    shown = sorted(labels, key=lambda label: label not in near)[:_EXAMPLES_SHOWN]
    example = ",".join(f"{label}={near.get(label, '')}" for label in shown)
    return (
        f"labels outside the emotion set ({', '.join(emotions)}): {counts}.{meant} Say what each is with --label-map, e.g. "
        f"{example} (LABEL= stands for no label), or take the corpus' own labels as classes with --emotions auto (and another "
        "--model, where one with other classes is there already); in Python, label_map= and emotions="
    )
