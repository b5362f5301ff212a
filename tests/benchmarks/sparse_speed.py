"""Decoding under sparse attention against dense, on the embedded model at 7,000 tokens of context.

    python -m tests.benchmarks.sparse_speed [shared-32 shared-8 distinct-16]

Each setting loads the model once, computes its prompts once, and then decodes in turn: dense; a
budget above the context; one of 1,024; and with attention left out, which gives the time of
everything else. Timed are whole engine steps in which every sequence is decoding; ratios are
medians over rounds of a round's own ratio. The bound is what would be left if attention took its
dense time times its share of the bytes. A last round counts the bytes that attention reads and
times its parts (with clocks around them, so it is not among the speeds). Distinct prompts take 16
prefills: about 6 minutes on two cores.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

CONTEXT = 7000
BUDGET, ABOVE = 1024, "block_topk:8192"
STEPS = 12
ROUNDS = 7
KV_BYTES = 46080  # of one token of the embedded model, in float32


class Setting(NamedTuple):
    """How many sequences, on how many prompts, and the ratio to dense that is aimed at."""

    n: int
    n_prompts: int
    target: float


SETTINGS = {
    "shared-32": Setting(32, 1, 2.5),
    "shared-8": Setting(8, 1, 1.8),
    "distinct-16": Setting(16, 16, 2.0),
}


def prompts(tokenizer: Any, n: int) -> list[list[int]]:
    """n different texts of CONTEXT tokens: numbered lines of facts, as a long document has them."""
    found = []
    for i in range(n):
        lines = [
            f"Entry {k} of book {i}: the {k * 7919 % 997}th stone weighs {k * 31 % 89} grams."
            for k in range(600)
        ]
        ids = tokenizer.encode("\n".join(lines))
        assert len(ids) >= CONTEXT, "the text is long enough"
        found.append(ids[:CONTEXT])
    return found


def load(max_context: int, n_seqs: int, cache_tokens: int, **options: Any) -> Any:
    """vLLM's engine in this process, on the embedded model, set up as ttscale sets it up."""
    from ttscale.engine.vllm import VLLMConfig
    from ttscale.engine.vllm_process import engine_arguments, model_folder, set_environment

    config = VLLMConfig(
        max_context=max_context,
        kv_cache_gib=cache_tokens * KV_BYTES / 2**30,
        max_num_seqs=n_seqs,
        options=options,
    )
    set_environment(config, on_gpu=False)
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    arguments = engine_arguments(config, model_folder(config), on_gpu=False)
    return LLMEngine.from_engine_args(EngineArgs(**arguments))


class Decoding:
    """An engine with its prompts in the cache."""

    def __init__(self, setting: Setting) -> None:
        tokens = setting.n_prompts * CONTEXT + setting.n * 2048
        self.engine = load(CONTEXT + 512, setting.n, tokens)
        from vllm import SamplingParams

        self.params, self.n, self._n_requests = SamplingParams, setting.n, 0
        self.prompts = prompts(self.engine.get_tokenizer(), setting.n_prompts)
        for prompt in self.prompts:
            self.decode("dense", 1, [prompt])

    def decode(
        self, policy: str, n_steps: int, given: list[list[int]] | None = None
    ) -> list[float]:
        """Seconds of each step in which all sequences decode."""
        from ttscale.engine.sparse.requests import ARGUMENT

        chosen = given or [self.prompts[i % len(self.prompts)] for i in range(self.n)]
        for prompt in chosen:
            params = self.params(
                temperature=0.0,
                max_tokens=n_steps + 2,
                ignore_eos=True,
                extra_args=None if policy == "dense" else {ARGUMENT: policy},
            )
            self._n_requests += 1
            request = {"prompt_token_ids": prompt}
            self.engine.add_request(str(self._n_requests), request, params)
        seconds = []
        while self.engine.has_unfinished_requests():
            started = time.perf_counter()
            self.engine.step()
            seconds.append(time.perf_counter() - started)
        return seconds[-n_steps - 1 : -1]


@contextmanager
def without_attention() -> Iterator[None]:
    """Steps in which the kernel returns at once."""
    from vllm import _custom_ops as ops

    kernel = ops.cpu_attention_with_kv_cache
    ops.cpu_attention_with_kv_cache = lambda **_: None
    try:
        yield
    finally:
        ops.cpu_attention_with_kv_cache = kernel


class Watch:
    """Clocks and counters around attention's parts."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.n_bytes: Counter[str] = Counter()

    @contextmanager
    def on(self) -> Iterator[None]:
        """While it lasts, the parts are timed and their bytes counted."""
        from vllm import _custom_ops as ops

        from ttscale.engine.sparse import cpu, selection, summaries
        from ttscale.engine.sparse.step import Step

        def kernel(**call: Any) -> None:
            if len(call["query"]) > len(call["seq_lens"]):  # the step that ends the prompts
                return own_kernel(**call)
            heads, width = call["key_cache"].shape[1], call["query"].shape[-1]
            self.n_bytes["keys and values"] += (
                int(call["seq_lens"].sum()) * heads * 2 * width * call["query"].element_size()
            )
            return timed_kernel(**call)

        def scores(probes: Any, found: Any, place: Any) -> Any:
            self.n_bytes["summaries"] += found.numel() * found.element_size()
            return own_scores(probes, found, place)

        own_kernel, own_scores = ops.cpu_attention_with_kv_cache, selection.block_scores
        own_table, own_refresh = cpu.chosen_table, summaries.Summaries.refresh
        own_split = Step.__init__
        timed_kernel = self._timed("kernel", own_kernel)
        ops.cpu_attention_with_kv_cache = kernel
        selection.block_scores = scores
        cpu.chosen_table = self._timed("choosing blocks", own_table)
        summaries.Summaries.refresh = self._timed("summaries", own_refresh)
        Step.__init__ = self._timed("splitting the step", own_split)
        try:
            yield
        finally:
            ops.cpu_attention_with_kv_cache, selection.block_scores = own_kernel, own_scores
            cpu.chosen_table, summaries.Summaries.refresh = own_table, own_refresh
            Step.__init__ = own_split

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += time.perf_counter() - started

        return timed


def median_ratio(above: list[float], below: list[float]) -> float:
    """The median over rounds of their ratios."""
    return round(statistics.median(a / b for a, b in zip(above, below, strict=True)), 3)


def measure(name: str) -> dict[str, Any]:
    """One setting."""
    from ttscale.cost import Architecture, decode_work

    setting = SETTINGS[name]
    started = time.perf_counter()
    decoding = Decoding(setting)
    prefill = time.perf_counter() - started
    policies = ["dense", ABOVE, f"block_topk:{BUDGET}", f"quest:{BUDGET}"]
    rounds: dict[str, list[float]] = {policy: [] for policy in [*policies, "no attention"]}
    for _ in range(ROUNDS):
        for policy in policies:
            rounds[policy].append(statistics.median(decoding.decode(policy, STEPS)))
        with without_attention():
            rounds["no attention"].append(statistics.median(decoding.decode("dense", STEPS)))
    seconds = {policy: statistics.median(found) for policy, found in rounds.items()}
    dense, sparse, other = (rounds[key] for key in ("dense", policies[2], "no attention"))
    model = Architecture.from_config("embedded")
    work = {
        policy: float(decode_work(model, CONTEXT, STEPS, attention=policy).n_bytes.decode_attention)
        for policy in policies
    }
    share = work[policies[2]] / work["dense"]
    bound = [rest + (whole - rest) * share for whole, rest in zip(dense, other, strict=True)]
    parts = {}
    for policy in ["dense", *policies[2:]]:
        watch = Watch()
        with watch.on():
            decoding.decode(policy, STEPS)
        n = STEPS + 1
        parts[policy] = {
            "ms per step": {k: round(v / n * 1e3, 2) for k, v in watch.seconds.items()},
            "MB per step": {k: round(v / n / 1e6, 2) for k, v in watch.n_bytes.items()},
            "MB per step by the cost model": round(work[policy] * setting.n / STEPS / 1e6, 2),
        }
    return {
        "setting": name,
        "prefill and load, s": round(prefill, 1),
        "tokens/s": {policy: round(setting.n / s, 1) for policy, s in seconds.items()},
        "ms per step": {policy: round(s * 1e3, 1) for policy, s in seconds.items()},
        "ratio to dense": median_ratio(dense, sparse),
        "aimed at": setting.target,
        "share of the bytes": round(share, 4),
        "bound, tokens/s": round(setting.n / statistics.median(bound), 1),
        "share of the bound": median_ratio(bound, sparse),
        "time above the context, of dense": median_ratio(rounds[ABOVE], dense),
        "rounds, ms per step": {k: [round(s * 1e3, 1) for s in v] for k, v in rounds.items()},
        "parts": parts,
    }


def main(names: list[str]) -> None:
    """Print every setting's result; each in a process of its own, so that memory is given back."""
    import subprocess

    if len(names) == 1:
        print(json.dumps(measure(names[0]), indent=1))
        return
    for name in names:
        subprocess.run([sys.executable, "-m", __spec__.name, name], check=True, env=os.environ)


if __name__ == "__main__":
    main(sys.argv[1:] or list(SETTINGS))
