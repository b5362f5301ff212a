"""How long a study takes on 1, 8 and 64 GPUs, by the cost model and the simulator. SIMULATED.

    python -m tests.benchmarks.capacity

The cost model gives a decoding round of Qwen3-8B on an H100 as a fixed time and a time for each
sequence; the simulated engine, 256 sequences at a time, works with these on its virtual clock. What
is simulated is one worker's share of 512 problems of 64 samples each, of one strategy: a share that
is too small leaves the engine waiting for its last sequences. Nothing here was run on a GPU.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from tests.benchmarks.driver import Silent
from ttscale.cost import Architecture, Hardware, decode_work, price
from ttscale.run.config import load
from ttscale.run.runner import run

MODEL, MACHINE = "Qwen3-8B", "H100"
N_PROBLEMS, N_EACH, N_SEQUENCES, CONTEXT = 512, 64, 256, 768


def round_seconds(batch: int) -> float:
    """Seconds of a decoding round of so many sequences, by the cost model."""
    work = decode_work(Architecture.from_config(MODEL), CONTEXT, 1, batch=batch) * batch
    return float(price(work, Hardware.load(MACHINE)).seconds)


def share(n_workers: int, strategy: dict[str, Any], timing: dict[str, float]) -> dict[str, float]:
    """One of so many workers' part of the study, on the virtual clock."""
    config = {
        "name": "capacity",
        "model": {"engine": "simulated", "max_num_seqs": N_SEQUENCES, "timing": timing},
        "benchmark": {"simulated": {}, "size": N_PROBLEMS // n_workers},
        "sampling": {"max_tokens": 600},
        "models": {"prm": {"engine": "simulated_reward"}},
        "strategies": [strategy],
    }
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "capacity.yaml"
        path.write_text(yaml.safe_dump(config))
        folder = run(load(path), Path(name), Silent(), fresh=False)
        ledger = pq.read_table(folder / "ledger.parquet").to_pandas()
    ledger = ledger[ledger.kind == "generate"]
    seconds = float((ledger.started + ledger.seconds).max())
    return {"seconds": seconds, "tokens_per_second": ledger.n_generated_tokens.sum() / seconds}


def main() -> None:
    """One JSON object a line."""
    each = (round_seconds(N_SEQUENCES) - round_seconds(1)) / (N_SEQUENCES - 1)
    fixed = round_seconds(1) - each
    timing = {"round_seconds": fixed, "stream_seconds": each}
    peak = N_SEQUENCES / round_seconds(N_SEQUENCES)
    print(json.dumps({"round_seconds": fixed, "stream_seconds": each, "peak_tokens_per_s": peak}))
    strategies = {
        "majority_vote, n = 64": {"name": "majority_vote", "n": N_EACH},
        "beam_search, n = 16": {"name": "beam_search", "n": 16, "verifier": "prm"},
    }
    for label, strategy in strategies.items():
        for n_workers in (1, 8, 64):
            found = share(n_workers, strategy, timing)
            shown = {
                "strategy": label,
                "workers": n_workers,
                "problems_each": N_PROBLEMS // n_workers,
                "virtual_seconds": round(found["seconds"], 1),
                "of_peak": round(found["tokens_per_second"] / peak, 3),
                "simulated": True,
            }
            print(json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
