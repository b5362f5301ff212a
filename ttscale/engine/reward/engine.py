"""Scoring on vLLM: reward models in its pooling runner."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from array import array
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ttscale.engine.protocol import (
    ContextTooLong,
    EngineDied,
    Layout,
    Scores,
    Solution,
)
from ttscale.engine.protocol import Engine as Policy
from ttscale.engine.reward.format import RewardFormat
from ttscale.engine.vllm_process import VLLMModel, VLLMProcess, first_cause, model_folder
from ttscale.errors import InputError


class Verdict(BaseModel):
    """The tokens by which a model without a scoring head says that a step is bad or good.

    As the tokenizer's vocabulary has them: `▁+` in a SentencePiece one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bad: str
    good: str


class RewardConfig(VLLMModel):
    """A model that scores, on vLLM in this process's care.

    Attributes
    ----------
    format : how a solution is written for it.
    verdict : for a causal language model, the tokens whose probabilities are the score; unset for
        a model with a scoring head of one output (sigmoid) or two (softmax, the second is good).
    activation : `raw` for the head's own number, as outcome reward models report it.
    """

    engine: Literal["reward"] = "reward"
    format: RewardFormat = RewardFormat()
    verdict: Verdict | None = None
    activation: Literal["probability", "raw"] = "probability"


class RewardEngine:
    """Implements `ttscale.engine.protocol.Scorer` on vLLM.

    The prefix cache is read: of a sequence whose beginning was scored before, only the new tokens
    are computed. vLLM then gives the rows of those alone, which is all that is asked for.

    Parameters
    ----------
    config : the model, its format, and how to load it.
    log : file that takes what vLLM prints; the terminal if left out.
    """

    def __init__(self, config: RewardConfig, log: FilePath | None = None) -> None:
        self.config = config
        self.model = config.model
        self._process = VLLMProcess(config, log, _arguments(config))
        self._requests: set[asyncio.Future[Scores]] = set()
        self._n_requests = 0

    @property
    def fingerprint(self) -> str:
        """Hash of the weights' identity, the dtype, the format and what is read of the head."""
        assert self._process.fingerprint, "the engine has been started"
        parts = {"format", "verdict", "activation"}
        what = self.config.model_dump_json(include=parts)
        return hashlib.sha256(f"{self._process.fingerprint} {what}".encode()).hexdigest()[:32]

    @property
    def max_context(self) -> int:
        """Longest sequence, in tokens."""
        return self._process.max_context

    async def start(self) -> None:
        """Load the model.

        Raises InputError for a model that has neither a scoring head nor the verdict's tokens.
        """
        self._refuse_generators()
        await self._process.start()
        from vllm import PoolingParams, TokensPrompt

        self._params, self._prompt = PoolingParams, TokensPrompt
        if self.config.verdict is not None:
            for token in (self.config.verdict.bad, self.config.verdict.good):
                self._process.tokenizer.require_token(token, "verdict")

    def _refuse_generators(self) -> None:
        """Refuse a folder that only generates: vLLM would make an embedding model of it."""
        folder = model_folder(self.config)
        if folder is None or self.config.verdict is not None:
            return
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = config.get("architectures") or ["none"]
        if not re.search("Classification|Reward|Prm", names[0]):
            raise InputError(
                "this folder holds no reward model",
                where=f"model {self.config.model}",
                got=f"architecture {names[0]}",
                hint="a …ForSequenceClassification or …RewardModel, or for a language model that "
                "says it in tokens `verdict: {bad: …, good: …}`",
            )

    async def close(self) -> None:
        """End all requests and the engine's process."""
        for request in list(self._requests):
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
        self._process.close()

    @property
    def policy_tokens(self) -> bool:
        """Whether it reads the policy's own token ids."""
        return self.config.format.layout in {"policy", "response"}

    def agrees_with(self, policy: Policy) -> bool:
        """Whether it can score what `policy` writes."""
        if not self.policy_tokens:
            return True
        own = self._process.tokenizer.vocabulary
        return getattr(policy, "vocabulary", None) == own

    def provenance(self) -> dict[str, object]:
        """Versions and settings that affect results."""
        return {**self._process.provenance(), "fingerprint": self.fingerprint}

    def lay_out(self, solution: Solution) -> Layout:
        """The sequence to score for a solution, in the model's own format."""
        return self.config.format.lay_out(solution, self._process.tokenizer)

    def score(self, token_ids: array[int], positions: Sequence[int]) -> asyncio.Future[Scores]:
        """Score the prefixes that end at `positions`, ascending."""
        if len(token_ids) > self.max_context:
            raise ContextTooLong(len(token_ids), self.max_context)
        request = asyncio.get_running_loop().create_task(
            self._score(token_ids[: positions[-1] + 1].tolist(), positions)
        )
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)
        return request

    async def _score(self, ids: list[int], positions: Sequence[int]) -> Scores:
        started, clock = time.time(), time.perf_counter()
        rows, n_cached = await self._rows(ids, from_start=False)
        if n_cached > positions[0]:  # cached for another's sake, and its row not kept
            rows, n_cached = await self._rows(ids, from_start=True)
        values = array("f", [float(rows[position - n_cached][-1]) for position in positions])
        return Scores(values, n_cached, started, time.perf_counter() - clock)

    async def _rows(self, ids: list[int], *, from_start: bool) -> tuple[Any, int]:
        """The head's outputs at the tokens from the cached ones on, and how many those are."""
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        self._n_requests += 1
        params = self._params(
            task="token_classify",
            use_activation=self.config.activation == "probability",
            skip_reading_prefix_cache=from_start,
        )
        rows = None
        try:
            prompt = self._prompt(prompt_token_ids=ids)
            async for output in self._process.llm.encode(prompt, params, f"r{self._n_requests}"):
                rows = output.outputs.data
        except (EngineDeadError, EngineGenerateError) as error:
            raise EngineDied(first_cause(error)) from error
        except (VLLMClientError, ValueError) as error:
            raise InputError("vLLM refused to score a sequence", got=str(error)) from error
        assert rows is not None, "a request ends with one output"
        return rows, len(ids) - len(rows)


def _arguments(config: RewardConfig) -> dict[str, Any]:
    """vLLM's engine arguments for scoring every token."""
    arguments: dict[str, Any] = {
        "runner": "pooling",
        "pooler_config": {"task": "token_classify", "tok_pooling_type": "ALL"},
    }
    if config.verdict is not None:
        arguments["convert"] = "classify"
        arguments["hf_overrides"] = {
            "classifier_from_token": [config.verdict.bad, config.verdict.good],
            "method": "no_post_processing",
        }
    return arguments
