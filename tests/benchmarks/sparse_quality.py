"""What sparse attention changes: retrieval from long documents, and agreement with dense attention.

    python -m tests.benchmarks.sparse_quality [equality retrieval agreement]

Equality: 32 prompts of 128 to 4,096 tokens in one batch, under budgets that hold all of it, with
the blocks chosen all the same: how many of the greedy continuations are dense attention's.

Retrieval: 4,000 tokens of the project's documentation with twenty pass keys of five digits among
them; the model copies one. A prompt is read densely under every policy, and so is what gives the
first digit; the other four are decoded, and each has to find the line again. An answer is right
when all five are. The same questions are put under every policy; intervals are Wilson's over
questions.

Agreement: in the project's own documentation, at places drawn at random beyond 2,048 tokens, one
token is decoded under the policy after a dense context, and the distribution of the next one is
compared with the dense one's: the share of equal likeliest tokens, and KL(dense ‖ sparse) over the
100 that dense attention holds likeliest and the rest as one, which is a little below the whole KL.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks.sparse_speed import load
from ttscale.engine.sparse.step import ALWAYS
from ttscale.stats.proportions import wilson

DOCUMENT = 4000
N_DOCUMENTS = 6
N_PLACES = 96
N_LIKELIEST = 100
BUDGETS = (256, 512, 1024)
POLICIES = ("window:{}:sinks=32", "block_topk:{}", "quest:{}", "topk:{}")
NAMES = (
    "apple", "bear", "castle", "dragon", "engine", "forest", "garden", "hammer", "island", "jungle",
    "king", "lemon", "mountain", "needle", "ocean", "piano", "queen", "river", "sailor", "tiger",
)  # fmt: skip


class Request(NamedTuple):
    """A prompt, the policy, and vLLM's further parameters."""

    prompt: list[int]
    policy: str
    params: dict[str, Any]


class Engine:
    """vLLM in this process."""

    def __init__(self) -> None:
        self._engine = load(8192, 64, 40000, max_logprobs=N_LIKELIEST)
        self.tokenizer = self._engine.get_tokenizer()
        self._n = 0

    def answer(self, requests: list[Request]) -> list[Any]:
        """What came of each, in their order."""
        from vllm import SamplingParams

        from ttscale.engine.sparse.requests import ARGUMENT

        names = []
        for prompt, policy, params in requests:
            extra = None if policy == "dense" else {ARGUMENT: policy}
            self._n += 1
            names.append(f"{self._n:09d}")
            given = SamplingParams(temperature=0.0, extra_args=extra, **params)
            self._engine.add_request(names[-1], {"prompt_token_ids": prompt}, given)
        found = {}
        while self._engine.has_unfinished_requests():
            for output in self._engine.step():
                if output.finished:
                    found[output.request_id] = output.outputs[0]
        return [found[name] for name in names]


def arms() -> list[str]:
    """Every policy at every budget, dense first."""
    return ["dense", *(policy.format(budget) for policy in POLICIES for budget in BUDGETS)]


def project_text(engine: Engine) -> list[int]:
    """The beginning of the project's documentation."""
    pages = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
    text = "\n\n".join(page.read_text(encoding="utf-8") for page in pages)
    ids: list[int] = engine.tokenizer.encode(text)[:7500]
    return ids


def equality(engine: Engine) -> dict[str, Any]:
    """How many continuations of 24 tokens are those of dense attention."""
    ids = project_text(engine)
    prompts = [ids[:n] for n in range(128, 4097, 128)]
    policies = ["dense", "block_topk:8192", "quest:8192", "window:8192", "topk:8192"]
    found, equal = {}, {}
    os.environ[ALWAYS] = "1"
    for policy in policies:
        params = {"max_tokens": 24, "ignore_eos": True}
        outputs = engine.answer([Request(prompt, policy, params) for prompt in prompts])
        found[policy] = [list(output.token_ids) for output in outputs]
        equal[policy] = sum(a == b for a, b in zip(found["dense"], found[policy], strict=True))
        print(policy, equal[policy], file=sys.stderr, flush=True)
    del os.environ[ALWAYS]
    return {"prompts": len(prompts), "equal": equal}


def retrieval(engine: Engine) -> dict[str, Any]:
    """The share of codes that are copied right under each policy."""
    ids = project_text(engine)
    prompts, answers = [], []
    for seed in range(N_DOCUMENTS):
        rng = np.random.default_rng(seed)
        keys = {name: str(rng.integers(10000, 100000)) for name in NAMES}
        document = _document(engine, ids[seed * 600 :], keys, rng)
        for name in rng.permutation(list(NAMES)):
            question = f"{document}\n\nThe pass key of the {name} is"
            prompts.append(engine.tokenizer.encode(question))
            answers.append(keys[name])
    for first in prompts[:: len(NAMES)]:  # so that a document is computed once
        engine.answer([Request(first, "dense", {"max_tokens": 1})])
    result = {}
    for policy in arms():
        params = {"max_tokens": 8, "ignore_eos": True}
        outputs = engine.answer([Request(prompt, policy, params) for prompt in prompts])
        right = sum(
            output.text.strip().startswith(answer)
            for output, answer in zip(outputs, answers, strict=True)
        )
        share, low, high = (float(x) for x in wilson(len(answers), right))
        result[policy] = [round(share, 3), round(low, 3), round(high, 3)]
        print(policy, result[policy], file=sys.stderr, flush=True)
    return {"n": len(answers), "right, from, to": result}


def _document(
    engine: Engine, ids: list[int], keys: dict[str, str], rng: np.random.Generator
) -> str:
    """The project's own text with the keys' lines between its parts, in an order of their own."""
    size = DOCUMENT // len(keys)
    parts = []
    for place, name in enumerate(rng.permutation(list(keys))):
        text = engine.tokenizer.decode(ids[place * size : (place + 1) * size])
        parts.append(f"{text}\nThe pass key of the {name} is {keys[name]}.")
    return "\n".join(parts)


def agreement(engine: Engine) -> dict[str, Any]:
    """How often the likeliest next token is the same, and KL(dense ‖ sparse) in nats."""
    ids = project_text(engine)
    rng = np.random.default_rng(0)
    places = sorted(int(place) for place in rng.integers(2048, len(ids), N_PLACES))
    likely = {"max_tokens": 1, "logprobs": N_LIKELIEST, "flat_logprobs": True}
    engine.answer([Request(ids, "dense", {"max_tokens": 1})])
    dense = engine.answer([Request(ids[:place], "dense", likely) for place in places])
    ranked = [_flat(output.logprobs, 0) for output in dense]
    result = {}
    for policy in arms():
        requests = [
            Request(
                ids[: place - 1],
                policy,
                {
                    "max_tokens": 2,
                    "allowed_token_ids": [ids[place - 1]],
                    "logprob_token_ids": list(best),
                },
            )
            for place, best in zip(places, ranked, strict=True)
        ]
        same, divergence = [], []
        for output, best in zip(engine.answer(requests), ranked, strict=True):
            given = output.logprobs[1]
            own = {token: given[token].logprob for token in best}
            same.append(max(own, key=own.__getitem__) == max(best, key=best.__getitem__))
            divergence.append(_divergence(best, own))
        share, low, high = (float(x) for x in wilson(len(same), sum(same)))
        error = float(np.std(divergence, ddof=1)) / math.sqrt(len(divergence))
        result[policy] = {
            "top-1": [round(share, 3), round(low, 3), round(high, 3)],
            "KL": round(float(np.mean(divergence)), 5),
            "standard error": round(error, 5),
        }
        print(policy, result[policy], file=sys.stderr, flush=True)
    return {"places": N_PLACES, "policies": result}


def _flat(given: Any, position: int) -> dict[int, float]:
    """Log-probabilities at a position, of the likeliest tokens."""
    start, end = given.start_indices[position], given.end_indices[position]
    found = dict(zip(given.token_ids[start:end], given.logprobs[start:end], strict=True))
    return dict(sorted(found.items(), key=lambda item: -item[1])[:N_LIKELIEST])


def _divergence(dense: dict[int, float], sparse: dict[int, float]) -> float:
    """KL over some tokens and the rest as one."""
    p = np.exp(list(dense.values()))
    q = np.exp([sparse[token] for token in dense])
    p, q = (np.append(x, max(1e-12, 1 - x.sum())) for x in (p, q))
    return float((p * np.log(p / q)).sum())


def main(names: list[str]) -> None:
    """Print what was asked for as JSON."""
    engine = Engine()
    parts = {"equality": equality, "retrieval": retrieval, "agreement": agreement}
    print(json.dumps({name: parts[name](engine) for name in names or list(parts)}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
