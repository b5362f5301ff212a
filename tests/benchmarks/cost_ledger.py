"""How long it takes to price a finished run's ledger of a million entries.

    python -m tests.benchmarks.cost_ledger

Two models, four attention policies, generation and scoring mixed, the decode batch derived from
what overlapped. Median of five.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
import pyarrow as pa

from ttscale.cost import Architecture, Hardware, price_ledger

MODELS = ("Qwen3-8B", "DeepSeek-V3")
POLICIES = ("dense", "window:512", "topk:256", "block_topk:1024")


def ledger(n: int) -> pa.Table:
    """A made-up ledger of n entries."""
    rng = np.random.default_rng(0)
    prompt = rng.integers(50, 2000, n)

    def text(*names: str) -> pa.Array:
        return pa.array(names).take(pa.array(rng.integers(0, len(names), n)))

    return pa.table(
        {
            "arm": text("best_of_n", "beam_search"),
            "model": text(*MODELS),
            "kind": text("generate", "generate", "generate", "score"),
            "n_prompt_tokens": prompt,
            "n_shared_tokens": rng.integers(0, prompt + 1),
            "n_cached_tokens": rng.integers(0, prompt + 1),
            "n_generated_tokens": rng.integers(1, 4000, n),
            "attention": text(*POLICIES),
            "started": 1.7e9 + rng.random(n) * n / 20,
            "seconds": rng.random(n) * 10,
            "replayed": rng.random(n) < 0.1,
        }
    )


def main() -> None:
    """Measure and print one JSON object."""
    n = 10_000 if "--quick" in sys.argv else 1_000_000
    table, machine = ledger(n), Hardware.load("H100")
    models = {name: Architecture.from_config(name) for name in MODELS}
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        total = price_ledger(table, models, machine).totals()
        seconds.append(time.perf_counter() - started)
    assert total["flops"]["total"] > 0
    result = {"n_entries": n, "seconds": round(statistics.median(seconds), 3)}
    print(json.dumps(result | {"runs": [round(value, 3) for value in seconds]}))


if __name__ == "__main__":
    main()
