"""The values a strategy works with: problems, paths of token ids, answers.

Nothing here changes once made. A path is a chain of spans that ends at the prompt; a fork shares
its parent's spans, so that a tree of thousands of partial solutions stores every token once. Token
ids are what the engine produced: text is never tokenised a second time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Finish = Literal["stop", "length", "abort", "step"]
"""Why a span ended: the model's own end, the token limit, a cancellation, or the step rule."""

TOKEN = "i"
"""Array code of token ids: 32-bit integers."""


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """A prompt, or a prompt continued: one node in a problem's tree of samples.

    Equality is identity: two samples with the same tokens are two paths.

    Attributes
    ----------
    token_ids : this node's own tokens (int32), without its ancestors'.
    text : the text of those tokens.
    parent : the path this one continues; None for a prompt.
    finish : why the span ended; None for a prompt.
    logprobs : log-probability of each own token under the raw model, float32; empty if the engine
        was not asked for them.
    confidences : of each own token over the likeliest ones at its place, float32; empty unless
        `sampling.top_logprobs` asks for them.
    watched : log-probability of each token of `sampling.watch` as the first own token, float32.
    stream : (call key, stream index): which sample of the journal this is; None for a prompt.
    n_prefix : number of tokens in all ancestors.
    depth : number of spans after the prompt.
    """

    token_ids: array[int]
    text: str
    parent: Path | None = None
    finish: Finish | None = None
    logprobs: array[float] = field(default_factory=lambda: _NO_LOGPROBS)
    stream: tuple[bytes, int] | None = None
    n_prefix: int = 0
    depth: int = 0
    confidences: array[float] = field(default_factory=lambda: _NO_LOGPROBS)
    watched: array[float] = field(default_factory=lambda: _NO_LOGPROBS)

    def __repr__(self) -> str:
        shown = self.response if self.depth else self.text
        shown = shown if len(shown) <= 60 else f"…{shown[-59:]}"
        return f"Path(depth={self.depth}, n_tokens={self.n_tokens}, {self.finish}, {shown!r})"

    @property
    def done(self) -> bool:
        """Whether nothing can follow: the model stopped, the limit was reached, or it was cut."""
        return self.finish is not None and self.finish != "step"

    @property
    def n_tokens(self) -> int:
        """Length of the whole path, prompt included."""
        return self.n_prefix + len(self.token_ids)

    @property
    def n_generated(self) -> int:
        """Length of the path without its prompt."""
        return self.n_tokens - len(self.root.token_ids)

    @property
    def root(self) -> Path:
        """The prompt."""
        node = self
        while node.parent is not None:
            node = node.parent
        return node

    def lineage(self) -> Iterator[Path]:
        """The nodes from the prompt to this one."""
        nodes = []
        node: Path | None = self
        while node is not None:
            nodes.append(node)
            node = node.parent
        return reversed(nodes)

    def all_token_ids(self) -> array[int]:
        """The ids of the whole path, prompt included; `n_tokens` long."""
        if self.parent is None:
            return self.token_ids
        ids: array[int] = array(TOKEN)
        for node in self.lineage():
            ids += node.token_ids
        return ids

    @property
    def response(self) -> str:
        """The generated text, all spans after the prompt."""
        if self.depth <= 1:
            return self.text if self.depth else ""
        return "".join(node.text for node in self.lineage() if node.parent is not None)

    @property
    def steps(self) -> list[str]:
        """The generated text, one string for each span."""
        return [node.text for node in self.lineage() if node.parent is not None]


_NO_LOGPROBS: array[float] = array("f")


def held_tokens(paths: Iterable[Path]) -> int:
    """Tokens in the union of the paths' nodes, prompt included: the KV cache that keeps them all.

    The KV size of a search step (Hooper et al., 2025, 2502.13575) is that of the paths it goes on
    from.
    """
    nodes = {node for path in paths for node in path.lineage()}
    return sum(len(node.token_ids) for node in nodes)


@dataclass(frozen=True, slots=True)
class Problem:
    """One question of a benchmark, ready to be sampled.

    Attributes
    ----------
    id : unique within the benchmark.
    question : the question alone, without template or examples.
    root : the prompt as a path of token ids.
    reference : the reference answer. Strategies do not look at it; the oracle verifier does.
    metadata : whatever else the benchmark says about the problem.
    """

    id: str
    question: str
    root: Path
    reference: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a strategy returns: the path it chose and how it came to it.

    Attributes
    ----------
    path : the chosen path; None when no path gave an answer.
    score : the chosen path's score or share of votes, where the strategy has one.
    tied : number of answers that shared the top place (1 without a tie).
    abstained : number of candidates that had no answer.
    """

    path: Path | None
    score: float | None = None
    tied: int = 1
    abstained: int = 0
