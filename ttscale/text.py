"""Text from elsewhere, such as a model's answer, made fit to be shown: nothing in it acts.

Terminals obey control characters, and bidirectional ones reorder what stands around them. What is
shown has them in writing instead.
"""

from __future__ import annotations

import re
from typing import Any

ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tabs and line feeds
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"  # marks of direction, line separators
    "\ud800-\udfff]"  # halves of a character
)


def visible(text: str) -> str:
    r"""The text with every character that would act written out: `\x1b`, `\u202e`.

    Tabs and line feeds stay.
    """
    return ACTIVE.sub(lambda found: _written(found[0]), text)


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def shown(value: Any) -> Any:
    """A record with every text in it made visible, keys included."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {shown(key): shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    return value
