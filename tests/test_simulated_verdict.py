"""The simulated model as a judge: which questions it answers, how well, and how it says so."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import norm

from ttscale.engine.protocol import Completion, Sampling
from ttscale.engine.simulated import SimulatedConfig, SimulatedEngine
from ttscale.engine.simulated.verdict import NOISE
from ttscale.stats.ranking import auroc

PROBLEM = "[simulated problem 7: p=0.4 answer=526] What is the answer?"
FIRST = Sampling(max_tokens=1, watch=(ord("Y"), ord("N"), ord("?")))


def ask(prompts: Sequence[str], sampling: Sampling, n: int = 1) -> list[list[Completion]]:
    async def main() -> list[list[Completion]]:
        engine = SimulatedEngine(SimulatedConfig())
        await engine.start()
        groups = []
        for text in prompts:
            ids = engine.encode_chat([{"role": "user", "content": text}])
            groups.append(list(await asyncio.gather(*engine.submit(ids, sampling, 0, n))))
        await engine.close()
        return groups

    return asyncio.run(main())


def about(number: int, answer: str) -> str:
    return f"{PROBLEM}\nTry {number}.\n\nAnswer: {answer}\n\nRight? Say Yes or No."


def test_right_solutions_are_called_right_more_often_as_often_as_documented() -> None:
    prompts = [about(i, "526" if i % 2 else "525") for i in range(600)]
    chances = np.array([math.exp(g[0].watched[0]) for g in ask(prompts, FIRST)])
    right = np.arange(600) % 2
    assert auroc(chances, right) == pytest.approx(norm.cdf(2 / (NOISE * math.sqrt(2))), abs=0.04)


def test_watched_tokens_are_the_words_beginnings() -> None:
    ((reply,),) = ask([about(0, "526")], FIRST)
    yes, no, other = map(math.exp, reply.watched)
    assert yes + no == pytest.approx(1) and other == 0
    assert reply.finish == "length" and reply.text in {"Y", "N"}


def test_sampled_verdicts_have_the_chance_that_is_watched() -> None:
    prompt = about(3, "526")
    ((reply,),) = ask([prompt], FIRST)
    (verdicts,) = ask([prompt], Sampling(max_tokens=20), n=2000)
    assert {one.text for one in verdicts} == {"Yes", "No"}
    assert {one.finish for one in verdicts} == {"stop"}
    share = np.mean([one.text == "Yes" for one in verdicts])
    assert share == pytest.approx(math.exp(reply.watched[0]), abs=0.04)


def test_of_two_solutions_the_right_one_is_preferred() -> None:
    watch = Sampling(max_tokens=1, watch=(ord("A"), ord("B")))
    prompts = [
        f"{PROBLEM} {i}\nAnswer: {a}\n\nAnswer: {b}\nWhich? A or B"
        for i in range(200)
        for a, b in (("526", "1"), ("1", "526"), ("1", "2"))
    ]
    first = np.array([math.exp(g[0].watched[0]) for g in ask(prompts, watch)]).reshape(200, 3)
    assert first[:, 0].mean() > 0.75 and first[:, 1].mean() < 0.25
    assert first[:, 2].mean() == pytest.approx(0.5, abs=0.07)


def test_a_question_for_a_solution_is_answered_with_one() -> None:
    ((reply,),) = ask([f"{PROBLEM} Yes or No, then reason."], Sampling(max_tokens=2000))
    assert reply.text.startswith("Step 1") and not reply.watched
