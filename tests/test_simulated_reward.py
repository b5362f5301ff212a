"""The simulated reward model: what it sees, and how well."""

from __future__ import annotations

import asyncio
from array import array

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ttscale.engine.protocol import Sampling, Scorer
from ttscale.engine.simulated import SimulatedConfig, SimulatedEngine
from ttscale.engine.simulated.reward import SimulatedRewardConfig, SimulatedScorer

PROMPT = "[simulated problem 0: p=0.4 answer=526] What is the answer?"


def responses(n: int) -> list[tuple[array[int], bool]]:
    """Whole solutions of one problem, prompt included, and whether they are right."""

    async def main() -> list[tuple[array[int], bool]]:
        engine = SimulatedEngine(SimulatedConfig())
        await engine.start()
        prompt = engine.encode_chat([{"role": "user", "content": PROMPT}])
        done = await asyncio.gather(*engine.submit(prompt, Sampling(max_tokens=2000), 0, n))
        await engine.close()
        return [(prompt + one.token_ids, "Answer: 526" in one.text) for one in done]

    return asyncio.run(main())


def scores(config: SimulatedRewardConfig, sequences: list[array[int]]) -> list[float]:
    async def main() -> list[float]:
        scorer = SimulatedScorer(config)
        assert isinstance(scorer, Scorer)
        futures = [scorer.score(ids, [len(ids) - 1]) for ids in sequences]
        return [(await future).values[0] for future in futures]

    return asyncio.run(main())


def test_without_noise_it_knows_the_outcome() -> None:
    pairs = responses(60)
    found = scores(SimulatedRewardConfig(noise=0), [ids for ids, _ in pairs])
    assert found == pytest.approx([0.99 if right else 0.01 for _, right in pairs])


def test_noise_is_the_prefixs_own_and_costs_discrimination() -> None:
    pairs = responses(300)
    sequences, right = [ids for ids, _ in pairs], [right for _, right in pairs]
    noisy = SimulatedRewardConfig(noise=4)
    assert scores(noisy, sequences) == scores(noisy, sequences)
    assert scores(noisy, sequences) != scores(SimulatedRewardConfig(noise=4, seed=1), sequences)
    area = roc_auc_score(right, scores(noisy, sequences))
    # log-odds of ±4.6 under noise of 4: Phi(9.19 / (4 sqrt 2))
    assert area == pytest.approx(0.948, abs=0.03)


def test_noise_on_the_log_odds_has_the_given_spread() -> None:
    pairs = responses(400)
    found = np.array(scores(SimulatedRewardConfig(noise=2), [ids for ids, _ in pairs]))
    odds = np.log(found / (1 - found)) - np.where([r for _, r in pairs], 1, -1) * np.log(99)
    assert odds.std() == pytest.approx(2, rel=0.12) and abs(odds.mean()) < 0.35
