"""Small pools and run folders to plan from, made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ttscale.record.ledger import Entry, Ledger
from ttscale.record.pool import make_pool

PROMPT, LENGTH = 40, 100


def rows(
    n_problems: int = 30,
    n: int = 16,
    *,
    seed: int = 0,
    ability: float = 0.0,
    score: str | None = "judge",
    sample_set: str = "samples",
    prefix: str = "q",
) -> list[dict[str, Any]]:
    """Samples of problems q0, q1 …: right with chance sigmoid(ability − difficulty)."""
    rng = np.random.default_rng(seed)
    difficulty = np.linspace(-1.5, 3, n_problems)
    found = []
    for problem, p in enumerate(1 / (1 + np.exp(difficulty - ability))):
        for index in range(n):
            right = bool(rng.random() < p)
            answer = 0 if right else int(rng.integers(1, 4))
            row = {
                "problem_id": f"{prefix}{problem}",
                "sample_index": index,
                "sample_set": sample_set,
                "answer": str(answer),
                "answer_class": answer,
                "correct": right,
                "n_prompt_tokens": PROMPT,
                "n_generated_tokens": int(rng.integers(LENGTH // 2, 3 * LENGTH // 2)),
            }
            if score:
                row[f"score.{score}"] = float(rng.random() + 0.4 * right)
            found.append(row)
    return found


def write_pool(path: Path, samples: list[dict[str, Any]], **metadata: Any) -> Path:
    """A Parquet pool."""
    make_pool(samples, metadata).write(path)
    return path


def write_run(
    folder: Path,
    samples: list[dict[str, Any]],
    *,
    model: str = "SmolLM2-135M-Instruct",
    judge: str | None = None,
    judge_tokens: int = 150,
    search: dict[str, bool] | None = None,
    search_tokens: int = 700,
    searcher: str = "beam_search(n=4)",
    batch: int = 8,
    **metadata: Any,
) -> Path:
    """A run folder: best-of-n by `judge` on the samples, and one more arm with its answers."""
    from ttscale.record.files import write_parquet

    folder.mkdir()
    arm = f"best_of_n(n=16, {judge})"
    ledger = Ledger()

    def add(arm: str, row: dict[str, Any], kind: str, model: str, prompt: int, n: int) -> None:
        ledger.add(
            Entry(arm, row["problem_id"], model, kind, prompt, 0, 0, n, "dense",  # type: ignore[arg-type]
                  float(len(ledger) // batch), 1.0, False)
        )  # fmt: skip

    for row in samples:
        add(arm, row, "generate", model, row["n_prompt_tokens"], row["n_generated_tokens"])
        if judge:
            add(arm, row, "score", "Qwen2.5-0.5B-Instruct", judge_tokens, 0)
    answers = []
    for problem, right in (search or {}).items():
        row = {"problem_id": problem}
        add(searcher, row, "generate", model, PROMPT, search_tokens)
        answers.append({"arm": searcher, "problem_id": problem, "correct": right})
    known = {"model": model, "benchmark": "sums", "simulated": False, "complete": True}
    write_pool(folder / "pool.parquet", samples, **known, **metadata)
    ledger.write(folder / "ledger.parquet")
    schema = pa.schema([("arm", pa.string()), ("problem_id", pa.string()), ("correct", pa.bool_())])
    write_parquet(pa.Table.from_pylist(answers, schema), folder / "answers.parquet")
    strategies = [{"label": arm, "verifier": judge, "oracle": False}] if judge else []
    asked = judge if judge and judge in searcher else None
    strategies += [{"label": searcher, "verifier": asked, "oracle": False}]
    (folder / "summary.json").write_text(json.dumps({"strategies": strategies}))
    (folder / "provenance.json").write_text(json.dumps({"max_num_seqs": 256}))
    return folder
