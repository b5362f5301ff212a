"""A simulated reward model: the true chance of success, seen through noise."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from array import array
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ttscale.engine.protocol import ContextTooLong, Engine, Layout, Scores, Solution
from ttscale.engine.simulated.law import World, WorldConfig
from ttscale.engine.simulated.solution import Writer

SUREST = 0.99
"""No noise-free score lies further from a half than this: a reward model is never certain."""


class SimulatedRewardConfig(BaseModel):
    """A reward model for the simulated engine.

    Attributes
    ----------
    model : name in the ledger.
    noise : standard deviation of the noise on the log-odds; 0 for a perfect process reward model.
    world : of the policy, whose texts are judged.
    seed : another seed is another noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["simulated_reward"] = "simulated_reward"
    model: str = "simulated_reward"
    noise: float = Field(default=1.0, ge=0)
    world: WorldConfig = WorldConfig()
    seed: int = Field(default=0, ge=0)
    max_context: int = Field(default=32768, ge=16)


class SimulatedScorer:
    """Implements `ttscale.engine.protocol.Scorer`: a prefix has one score, whatever follows."""

    policy_tokens = True

    def __init__(self, config: SimulatedRewardConfig | None = None) -> None:
        self.config = config or SimulatedRewardConfig()
        self.model, self.max_context = self.config.model, self.config.max_context
        self._writer = Writer(World(self.config.world))

    @property
    def fingerprint(self) -> str:
        """Hash of what determines scores."""
        fields = self.config.model_dump(mode="json", exclude={"model"})
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    def agrees_with(self, policy: Engine) -> bool:
        """It reads what the simulated engine writes."""
        return policy.simulated

    def provenance(self) -> dict[str, object]:
        """The whole configuration, and that it is a simulation."""
        return {
            "simulated": True,
            "fingerprint": self.fingerprint,
            **self.config.model_dump(mode="json"),
        }

    def lay_out(self, solution: Solution) -> Layout:
        """The policy's tokens, to the end of the last step."""
        return Layout(solution.token_ids[: solution.ends[-1] + 1], solution.ends)

    def score(self, token_ids: array[int], positions: Sequence[int]) -> asyncio.Future[Scores]:
        """Score the prefixes that end at `positions`, at once."""
        if len(token_ids) > self.max_context:
            raise ContextTooLong(len(token_ids), self.max_context)
        future: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
        scores = array("f", [self._score(token_ids[: position + 1]) for position in positions])
        future.set_result(Scores(scores))
        return future

    def _score(self, prefix: array[int]) -> float:
        chance = min(max(self._writer.read(prefix).chance, 1 - SUREST), SUREST)
        odds = math.log(chance / (1 - chance)) + self.config.noise * self._deviate(prefix)
        return 1 / (1 + math.exp(-odds))

    def _deviate(self, prefix: array[int]) -> float:
        """A standard normal number that belongs to the prefix."""
        digest = hashlib.blake2b(prefix.tobytes(), digest_size=8, salt=_salt(self.config.seed))
        uniform = (int.from_bytes(digest.digest(), "big") + 0.5) / 2**64
        return NormalDist().inv_cdf(uniform)


def _salt(seed: int) -> bytes:
    return hashlib.blake2b(str(seed).encode(), digest_size=16).digest()
