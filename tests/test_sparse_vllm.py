"""Sparse attention in the real engine, with the real embedded model."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.scripted import make_session
from ttscale import registry
from ttscale.context import Context
from ttscale.engine.protocol import AttendsSparsely, Completion, Sampling
from ttscale.engine.sparse.step import ALWAYS
from ttscale.engine.vllm import VLLMConfig, VLLMEngine
from ttscale.errors import InputError
from ttscale.record.journal import Journal
from ttscale.trace import Answer, Problem
from ttscale.trace import Path as Solution

pytestmark = [pytest.mark.vllm, pytest.mark.alone]

BLOCK_BYTES = 32 * 46080
N_BLOCKS = 64
TEXT = "\n".join(
    f"Entry {k}: the {k * 7919 % 997}th stone weighs {k * 31 % 89} grams." for k in range(200)
)


class Ask(NamedTuple):
    """One request."""

    prompt: array[int]
    policy: str
    temperature: float = 0.0
    n_tokens: int = 12
    seed: int = 0


class Real(NamedTuple):
    """A running engine and the loop it lives in."""

    engine: VLLMEngine
    loop: asyncio.Runner

    def together(self, asks: Sequence[Ask]) -> list[Completion]:
        async def main() -> list[Completion]:
            streams = []
            for ask in asks:
                sampling = Sampling(
                    temperature=ask.temperature,
                    max_tokens=ask.n_tokens,
                    ignore_eos=True,
                    attention=ask.policy,
                )
                streams += self.engine.submit(ask.prompt, sampling, ask.seed, 1)
            return list(await asyncio.gather(*streams))

        return self.loop.run(main())

    def alone(self, ask: Ask) -> list[int]:
        return list(self.together([ask])[0].token_ids)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """One engine: prefills in chunks of 128, a small cache, and budgets that hold a context are no
    way around the selection."""
    config = VLLMConfig(
        max_context=1024,
        max_num_seqs=16,
        kv_cache_gib=N_BLOCKS * BLOCK_BYTES / 2**30,
        options={"max_num_batched_tokens": 128},
    )
    log = tmp_path_factory.mktemp("vllm") / "engine.log"
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as loop:
        patch.setenv(ALWAYS, "1")
        engine = VLLMEngine(config, log)
        loop.run(engine.start())
        yield Real(engine, loop)
        loop.run(engine.close())


@pytest.fixture(scope="module")
def prompts(real: Real) -> list[array[int]]:
    """Four texts of different lengths, none the beginning of another."""
    ids = real.engine.encode(TEXT)
    return [ids[100 * i : 100 * i + n] for i, n in enumerate((90, 300, 470, 800))]


def test_a_budget_above_the_context_is_dense_attention(
    real: Real, prompts: list[array[int]]
) -> None:
    """Token for token, in one batch, with all blocks chosen rather than left as they are."""
    dense = [list(c.token_ids) for c in real.together([Ask(p, "dense") for p in prompts])]
    for policy in ("block_topk:1024", "quest:1024", "window:1024:sinks=32", "topk:1024"):
        found = real.together([Ask(prompt, policy) for prompt in prompts])
        assert [list(completion.token_ids) for completion in found] == dense, policy


def test_a_small_budget_is_another_answer_and_the_same_in_any_company(
    real: Real, prompts: list[array[int]]
) -> None:
    long = prompts[3]
    policies = ("dense", "block_topk:128", "quest:96", "window:64", "topk:16", "quest:96")
    asks = [
        Ask(prompt, policy, 0.8, 16, 7)
        for prompt, policy in zip([long] * 5 + [prompts[1]], policies, strict=True)
    ]
    alone = [real.alone(ask) for ask in asks]
    together = [list(completion.token_ids) for completion in real.together(asks)]
    assert together == alone
    assert len({tuple(ids) for ids in alone[:5]}) >= 3, "policies make a difference"


def test_prompts_are_shared_between_policies_and_generated_tokens_are_not(
    real: Real, prompts: list[array[int]]
) -> None:
    prompt = prompts[2]
    real.alone(Ask(prompt, "dense", n_tokens=2))
    (sparse,) = real.together([Ask(prompt, "block_topk:64", n_tokens=70)])
    assert sparse.n_cached_tokens == len(prompt) // 32 * 32, "computed once, by the dense request"
    longer = prompt + sparse.token_ids
    first, again = (real.together([Ask(longer, "block_topk:64", n_tokens=4)])[0] for _ in range(2))
    assert first.n_cached_tokens == len(prompt) // 32 * 32
    assert again.n_cached_tokens == (len(longer) - 1) // 32 * 32
    assert again.token_ids == first.token_ids


def test_a_preempted_request_goes_on_as_if_nothing_had_been(real: Real) -> None:
    ids = real.engine.encode(TEXT)
    n, n_tokens = 470, 60
    assert 4 * -(-n // 32) < N_BLOCKS <= 4 * -(-(n + n_tokens) // 32), "all begin, not all can end"
    asks = [Ask(ids[300 * i : 300 * i + n], "block_topk:96", 0.8, n_tokens, i) for i in range(4)]
    together = [list(completion.token_ids) for completion in real.together(asks)]
    assert together == [real.alone(ask) for ask in asks]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("majority_vote", {"n": 3}),
        ("beam_search", {"n": 4, "width": 2, "max_steps": 3}),
        ("budget_forcing", {"close": "", "cue": "\nThe answer is", "answer": 8}),
        ("sparse_generation", {"n": 3, "policy": "quest:64"}),
    ],
)
def test_strategies_run_under_a_policy(
    name: str, fields: dict[str, Any], real: Real, tmp_path: Path
) -> None:
    assert isinstance(real.engine, AttendsSparsely)
    strategy = registry.build("strategies", name, fields, where="test")
    verifier = registry.build("verifiers", "mean_logprob", {}, where="test")
    session = make_session(real.engine, Journal(tmp_path / "j"))
    question = real.engine.encode_chat(
        [{"role": "user", "content": f"{TEXT[:400]} What is 3 + 4?"}]
    )
    problem = Problem("p", "q", Solution(question, "q"), "7")

    async def main() -> tuple[Context, Answer]:
        sampling = Sampling(max_tokens=40, attention="quest:64")
        ctx = Context(session, problem, name, sampling, verifier)
        return ctx, await strategy(problem, ctx)

    ctx, answer = real.loop.run(main())
    table = session.ledger.table()
    assert set(table["attention"].to_pylist()) == {"quest:64"}
    assert answer.path is None or answer.path.done
    assert sum(table["n_generated_tokens"].to_pylist()) == ctx.n_generated_tokens > 0


def test_what_does_not_fit_the_engine_is_refused(real: Real, prompts: list[array[int]]) -> None:
    for policy, what in (
        ("quest:64:block=64", "blocks of 32 tokens"),
        ("window:100", "no multiple"),
        ("quest:64:dense_layers=30", "30 layers"),
        ("blocks:64", "unknown attention policy"),
    ):
        with pytest.raises(InputError, match=what):
            real.engine.submit(prompts[0], Sampling(attention=policy), 0, 1)
