"""A corpus of documents, searched by BM25 with the library `bm25s`."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ttscale.errors import InputError

_WORD = re.compile(r"\w+")


class Corpus:
    """Documents and their index.

    Words are runs of letters and digits, without regard to case; no stop words, no stemming, so
    that any language is served. BM25 as Lucene scores it (k1 = 1.5, b = 0.75).
    """

    def __init__(self, documents: list[str]) -> None:
        self.documents = documents
        self._index = _library().BM25()
        self._index.index([_words(text) for text in documents], show_progress=False)

    def search(self, query: str, k: int) -> list[str]:
        """The k documents that score highest, best first, of equal ones the earlier.

        Fewer where fewer have a word of the query.
        """
        words = [word for word in _words(query) if word in self._index.vocab_dict]
        if not words:
            return []
        scores = np.asarray(self._index.get_scores(words))
        order = np.argsort(-scores, kind="stable")[:k]
        return [self.documents[i] for i in order if scores[i] > 0]


@lru_cache(maxsize=8)
def read_corpus(path: str) -> Corpus:
    """A corpus from a file: JSON Lines with a `text` each (and perhaps a `title`), or plain text
    whose paragraphs are the documents.

    Raises InputError for what cannot be read, and for a corpus without a word in it.
    """
    try:
        content = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"the corpus cannot be read: {reason}", where=path) from error
    if path.endswith(".jsonl"):
        documents = [
            _document(line, f"{path}:{number}")
            for number, line in enumerate(content.splitlines(), 1)
            if line.strip()
        ]
    else:
        documents = [part.strip() for part in re.split(r"\n\s*\n", content) if part.strip()]
    if not any(map(_words, documents)):
        raise InputError(
            "the corpus is empty",
            where=path,
            hint='JSON Lines such as {"text": "…"}, or paragraphs of plain text',
        )
    return Corpus(documents)


def _document(line: str, where: str) -> str:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise InputError("a line of the corpus is no JSON", where=where, got=line) from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise InputError("a document has a text", where=where, got=row, hint='{"text": "…"}')
    return f"{row['title']}\n{row['text']}" if row.get("title") else row["text"]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _library() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise InputError(
            "retrieval needs the package bm25s", hint="pip install 'ttscale[retrieval]'"
        ) from error
    return bm25s
