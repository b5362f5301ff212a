"""The simulated model's tokenizer: one token for each character, exact for any text.

Token ids are code points; the few tokens that are no text come after the last of them. A joined
text has the tokens of its parts, so nothing here can show the faults of tokenising text twice.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence

from ttscale.errors import InputError, closest
from ttscale.trace import TOKEN

_FIRST_SPECIAL = sys.maxunicode + 1
END = _FIRST_SPECIAL
"""The token that ends a response."""
TURN_END = _FIRST_SPECIAL + 1
ROLES = {
    "system": _FIRST_SPECIAL + 2,
    "user": _FIRST_SPECIAL + 3,
    "assistant": _FIRST_SPECIAL + 4,
}
"""The token that opens each role's turn."""

_CODEC = f"utf-32-{'le' if sys.byteorder == 'little' else 'be'}"
_REPLY = array(TOKEN, [ROLES["assistant"]]).tobytes()
assert len(_REPLY) == 4, "a token id is a 32-bit integer, as wide as a UTF-32 character"


def encode(text: str) -> array[int]:
    """Token ids of a text."""
    return array(TOKEN, text.encode(_CODEC, "surrogatepass"))


def encode_chat(messages: Sequence[Mapping[str, str]]) -> array[int]:
    """Token ids of a conversation, ready for the assistant's reply.

    Raises
    ------
    InputError : a role other than system, user and assistant.
    """
    ids: array[int] = array(TOKEN)
    for message in messages:
        role = message["role"]
        if role not in ROLES:
            raise InputError(
                "the simulated model does not know this role",
                where="messages",
                got=role,
                hint=closest(role, ROLES),
            )
        ids.append(ROLES[role])
        ids += encode(message["content"])
        ids.append(TURN_END)
    ids.append(ROLES["assistant"])
    return ids


def decode(token_ids: Sequence[int]) -> str:
    """The text of token ids; tokens that are no text are left out."""
    ids = token_ids if isinstance(token_ids, array) else array(TOKEN, token_ids)
    return decode_bytes(ids.tobytes())


def decode_bytes(data: bytes) -> str:
    """The text of token ids given as the bytes of their array."""
    try:
        return data.decode(_CODEC, "surrogatepass")
    except UnicodeDecodeError:
        text = array(TOKEN, [i for i in array(TOKEN, data) if 0 <= i < _FIRST_SPECIAL])
        return text.tobytes().decode(_CODEC, "surrogatepass")


def split_reply(token_ids: array[int]) -> tuple[bytes, str | None]:
    """A conversation before the assistant's last turn, and the text of that turn.

    The former as the bytes of its token ids; without such a turn it is everything, and the latter
    is None.
    """
    data = token_ids.tobytes()
    place = data.rfind(_REPLY)
    while place > 0 and place % 4:  # found across two ids
        place = data.rfind(_REPLY, 0, place + 3)
    if place < 0:
        return data, None
    return data[:place], decode_bytes(data[place + 4 :])
