"""Scoring at an endpoint: a reward model on vLLM's server, asked by token ids.

The server computes a sequence anew for every request: it has no way to be asked for the rows after
its cached prefix, as the engine in this process has. A step's score therefore costs the whole path.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import msgspec

from ttscale.engine.openai.config import OpenAIRewardConfig
from ttscale.engine.openai.connection import Connection
from ttscale.engine.openai.faults import Fault
from ttscale.engine.openai.fleet import Fleet
from ttscale.engine.openai.identity import PROBE, Trial, make_fingerprint
from ttscale.engine.openai.replica import Replica
from ttscale.engine.protocol import ContextTooLong, Engine, Layout, Scores, Solution
from ttscale.engine.tokenizer import Tokenizer
from ttscale.errors import InputError


class _Rows(msgspec.Struct):
    """One output of the head for each token."""

    data: list[list[float]]


class _Answer(msgspec.Struct):
    data: list[_Rows]


_decode = msgspec.json.Decoder(_Answer).decode


async def _score_rows(
    config: OpenAIRewardConfig, url: str, name: str, ids: Sequence[int], http: Connection
) -> list[float]:
    """The score at every token. Raises Fault and InputError."""
    fields: dict[str, Any] = {
        "model": name,
        "input": ids,
        "task": "token_classify",
        "use_activation": config.activation == "probability",
        "encoding_format": "float",
    }
    text = await http.ask(f"{url}/pooling", fields, work=True)
    if text is None:
        raise InputError(
            "the endpoint does not score tokens",
            where=url,
            got="no /pooling",
            hint='serve it with `--runner pooling --pooler-config \'{"task": "token_classify"}\'`',
        )
    try:
        rows = _decode(text.encode()).data[0].data
    except (msgspec.DecodeError, IndexError) as error:
        raise Fault(f"the answer is not what the API promises: {error}") from error
    if len(rows) != len(ids):
        raise InputError(
            "the endpoint does not score the sequence it is given",
            where=url,
            got=f"{len(rows)} tokens of {len(ids)}",
            hint='serve it with `--pooler-config \'{"task": "token_classify"}\'`, not cut short',
        )
    return [row[-1] for row in rows]


async def _probe(
    config: OpenAIRewardConfig, url: str, name: str, tokenizer: Tokenizer, http: Connection
) -> Trial:
    scores = await _score_rows(config, url, name, tokenizer.encode(PROBE).tolist(), http)
    return Trial("exact", False, "", scores[-1])


@dataclass(slots=True)
class _Sequence:
    """A sequence under way."""

    config: OpenAIRewardConfig
    ids: list[int]
    order: list[int]
    served_name: str
    scores: list[float] = field(default_factory=list)
    n_attempts: int = 0
    n_lost_tokens: int = 0

    async def send(self, http: Connection, replica: Replica) -> None:
        """One request."""
        self.scores = await _score_rows(self.config, replica.url, self.served_name, self.ids, http)


class OpenAIScorer:
    """Implements `ttscale.engine.protocol.Scorer` at an endpoint.

    Parameters
    ----------
    config : where it is, what it serves, and in which format.
    log : file that takes what went wrong with requests; nowhere if left out.
    """

    def __init__(self, config: OpenAIRewardConfig, log: FilePath | None = None) -> None:
        self.config, self.model = config, config.model
        self._fleet = Fleet(config, partial(_probe, config), log)
        self._requests: set[asyncio.Future[Scores]] = set()

    async def start(self) -> None:
        """Load the tokenizer, and see whether the servers are what they should be."""
        await self._fleet.start()

    async def close(self) -> None:
        """End all requests; may be called twice."""
        for request in list(self._requests):
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
        await self._fleet.close()

    @property
    def fingerprint(self) -> str:
        """Hash of the model's, the format and what is read of the head."""
        fleet = self._fleet
        model = make_fingerprint(fleet.statement, self.config, fleet.local)
        what = self.config.model_dump_json(include={"format", "activation"})
        return hashlib.sha256(f"{model} {what}".encode()).hexdigest()[:32]

    @property
    def max_context(self) -> int:
        """Longest sequence, in tokens."""
        return self._fleet.statement.max_context

    @property
    def policy_tokens(self) -> bool:
        """Whether it reads the policy's own token ids."""
        return self.config.format.layout == "policy"

    def agrees_with(self, policy: Engine) -> bool:
        """Whether it can score what `policy` writes."""
        own = self._fleet.local.tokenizer.vocabulary
        return not self.policy_tokens or getattr(policy, "vocabulary", None) == own

    def provenance(self) -> dict[str, object]:
        """What the servers said of themselves, and how they were asked."""
        stated = self._fleet.statement
        return {
            "engine": "openai_reward",
            "endpoint": list(self.config.endpoint),
            "model": self.config.model,
            "served_name": stated.served_name,
            "root": stated.root,
            "server_version": stated.version,
            "fingerprint": self.fingerprint,
            "dtype": self.config.dtype,
            "max_context": self.max_context,
        }

    def lay_out(self, solution: Solution) -> Layout:
        """The sequence to score for a solution, in the model's own format."""
        return self.config.format.lay_out(solution, self._fleet.local.tokenizer)

    def score(self, token_ids: array[int], positions: Sequence[int]) -> asyncio.Future[Scores]:
        """Score the prefixes that end at `positions`, ascending."""
        if len(token_ids) > self.max_context:
            raise ContextTooLong(len(token_ids), self.max_context)
        ids = token_ids[: positions[-1] + 1]
        request = asyncio.get_running_loop().create_task(self._score(ids, positions))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)
        return request

    async def _score(self, ids: array[int], positions: Sequence[int]) -> Scores:
        started, clock = time.time(), time.perf_counter()
        order = self._fleet.order(ids, 1)
        sequence = _Sequence(self.config, ids.tolist(), order, self._fleet.statement.served_name)
        try:
            await self._fleet.run(sequence)
        finally:
            self._fleet.release(order)
        values = array("f", [sequence.scores[position] for position in positions])
        return Scores(values, 0, started, time.perf_counter() - clock)
