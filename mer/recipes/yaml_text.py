"""YAML of recipes: plain values only, and every key once.

YAML itself keeps the last of two equal keys without a word; here that is an error which names both lines.
"""

from __future__ import annotations

from typing import Any

import yaml

from mer.errors import ConfigError

MOST_VALUES = 100_000
"""Most values of a text whose aliases are written out; a recipe of every option has a thousand."""

_MERGE = "tag:yaml.org,2002:merge"
_SET = "tag:yaml.org,2002:set"


def read_yaml(text: str, origin: str) -> Any:
    """The value that a YAML text stands for; anchors, aliases and merge keys (`<<`) work.

    Args:
        text: one document.
        origin: what is read, the first words of messages, e.g. `recipe mine.yaml`.

    Raises:
        ConfigError: it is not YAML, names an object of code, refers to itself, is far too large, or has a key twice.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check(node, origin, enclosing=set(), sizes={})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, AttributeError) as error:  # the last two: of dates that are none
        raise ConfigError(f"{origin}: not YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{origin}: expected a few levels of options, found hundreds") from error


def _check(node: yaml.Node, origin: str, enclosing: set[int], sizes: dict[int, int]) -> int:
    """Check a node, once however many aliases lead to it; returns how many values it has with all aliases written out."""
    if id(node) in enclosing:
        line = node.start_mark.line + 1
        raise ConfigError(
            f"{origin}: expected values that end, found one that refers to itself (line {line})"
        )
    if id(node) in sizes:
        return sizes[id(node)]
    enclosing.add(id(node))
    if node.tag == _SET:
        raise ConfigError(
            f"{origin}: expected a list, found a set, which has no order (line {node.start_mark.line + 1})"
        )
    if isinstance(node, yaml.MappingNode):
        _check_mapping(node, origin)
        inner = [value for pair in node.value for value in pair]
    else:
        inner = node.value if isinstance(node, yaml.SequenceNode) else []
    size = 1 + sum(_check(value, origin, enclosing, sizes) for value in inner)
    if size > MOST_VALUES:
        raise ConfigError(
            f"{origin}: expected at most {MOST_VALUES:,} values, found more (aliases count as often as they are used)"
        )
    enclosing.remove(id(node))
    sizes[id(node)] = size
    return size


def _check_mapping(node: yaml.MappingNode, origin: str) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        identity, line = (key.tag, key.value), key.start_mark.line + 1
        if identity in lines:
            raise ConfigError(
                f"{origin}: expected every key once, found {key.value!r} in line {lines[identity]} and again in line {line}; "
                "leave one of them out"
            )
        lines[identity] = line
