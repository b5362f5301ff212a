"""A Hugging Face tokenizer as engines use it: text to token ids and back."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from ttscale.errors import InputError
from ttscale.trace import TOKEN


class Tokenizer:
    """One model's tokenizer.

    Parameters
    ----------
    own : the tokenizer of transformers.
    model : the model's name, for complaints.
    """

    def __init__(self, own: Any, model: str) -> None:
        self._own, self._model = own, model

    @property
    def bos(self) -> str:
        """The text of the token that begins a sequence, empty if there is none."""
        return str(self._own.bos_token or "")

    @cached_property
    def vocabulary(self) -> str:
        """Hash of the vocabulary: equal ones give text the same token ids."""
        entries = json.dumps(sorted(self._own.get_vocab().items()))
        return hashlib.sha256(entries.encode()).hexdigest()

    def encode(self, text: str, *, special: bool = True) -> array[int]:
        """Token ids of plain text; `special` puts the model's own tokens around it."""
        return array(TOKEN, self._own.encode(text, add_special_tokens=special))

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], *, reply: bool = True
    ) -> array[int]:
        """Token ids of a conversation by the chat template, ready for a reply unless told not."""
        if not getattr(self._own, "chat_template", None):
            raise InputError(
                "the model has no chat template",
                where=f"model {self._model}",
                hint="set `benchmark.prompt.chat: false` for plain completion",
            )
        from jinja2 import TemplateError

        try:
            ids = self._own.apply_chat_template(
                list(messages), tokenize=True, add_generation_prompt=reply, return_dict=False
            )
        except TemplateError as error:
            raise InputError(
                "the model's chat template refuses these messages",
                where=f"model {self._model}",
                got=str(error),
            ) from error
        return array(TOKEN, ids)

    def require_token(self, token: str, where: str) -> None:
        """Raise InputError unless `token` stands in the vocabulary."""
        if token not in self._own.get_vocab():
            raise InputError(
                "the model's vocabulary has no such token",
                where=f"model {self._model}: {where}",
                got=token,
                hint="as the vocabulary has it: a leading space is ▁ or Ġ",
            )

    def decode(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """The text of token ids; `special` shows the model's own tokens too."""
        return str(self._own.decode(list(token_ids), skip_special_tokens=not special))
