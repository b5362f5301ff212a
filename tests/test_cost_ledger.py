"""Pricing a ledger: the sum of its entries priced one by one, whatever holds the columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.cost import (
    Architecture,
    Hardware,
    decode_batch,
    decode_work,
    prefill_work,
    price,
    price_ledger,
)
from ttscale.errors import InputError

H100 = Hardware.load("H100")
MODELS = {name: Architecture.from_config(name) for name in ("Qwen3-0.6B", "gemma-3-1b-it")}


def ledger(n: int = 60, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    prompt = rng.integers(1, 900, n)
    return {
        "arm": rng.choice(["best_of_n", "beam"], n),
        "problem_id": rng.choice(["a", "b", "c"], n),
        "model": rng.choice(sorted(MODELS), n),
        "kind": rng.choice(["generate", "score"], n, p=[0.8, 0.2]),
        "n_prompt_tokens": prompt,
        "n_shared_tokens": rng.integers(0, prompt + 1),
        "n_cached_tokens": rng.integers(0, prompt + 1),
        "n_generated_tokens": rng.integers(0, 2000, n) * (rng.random(n) < 0.8),
        "attention": rng.choice(["dense", "window:256", "block_topk:512"], n),
        "started": 1.7e9 + rng.random(n) * 10,
        "seconds": rng.random(n) * 4,
        "replayed": rng.random(n) < 0.2,
    }


@pytest.mark.parametrize("reuse", ["shared", "cached"])
def test_a_ledger_costs_the_sum_of_its_entries(reuse: Any) -> None:
    rows = ledger()
    batch = np.linspace(1, 30, 60)
    priced = price_ledger(rows, MODELS, H100, batch=batch, reuse=reuse)
    for i in range(60):
        model = MODELS[rows["model"][i]]
        kept = int(rows[f"n_{reuse}_tokens"][i])
        generates = rows["kind"][i] == "generate" or rows["n_generated_tokens"][i] > 0
        work = prefill_work(model, int(rows["n_prompt_tokens"][i]) - kept, kept, head=generates)
        if generates:
            work = work + decode_work(
                model,
                int(rows["n_prompt_tokens"][i]),
                int(rows["n_generated_tokens"][i]),
                attention=str(rows["attention"][i]),
                batch=batch[i],
            )
        cost = price(work, H100, model.precision.compute)
        assert [float(a[i]) for a in priced.work.arrays()] == pytest.approx(
            [float(a) for a in work.arrays()]
        )
        assert [float(a[i]) for a in priced.price] == pytest.approx([float(a) for a in cost])
    total, arms = priced.totals(), priced.by(rows["arm"])
    assert set(arms) == {"best_of_n", "beam"}
    for key in ("eflops", "seconds", "usd", "joules"):
        assert sum(arm[key] for arm in arms.values()) == pytest.approx(total[key])
    parts = sum(arm["flops"]["attention"] for arm in arms.values())
    assert parts == pytest.approx(total["flops"]["attention"])


def test_tables_mappings_and_files_are_the_same(tmp_path: Path) -> None:
    rows = ledger()
    table = pa.table({key: pa.array(list(column)) for key, column in rows.items()})
    pq.write_table(table, tmp_path / "ledger.parquet")
    expected = price_ledger(rows, MODELS, H100).totals()
    assert price_ledger(table, MODELS, H100).totals() == expected
    assert price_ledger(tmp_path / "ledger.parquet", MODELS, H100).totals() == expected
    assert price_ledger(table, None, H100).totals() == expected
    encoded = table.set_column(
        table.column_names.index("model"), "model", table["model"].dictionary_encode()
    )
    assert price_ledger(encoded, MODELS, H100).totals() == expected


def test_columns_that_may_be_left_out() -> None:
    rows = {"model": ["m", "m"], "n_prompt_tokens": [10, 20], "n_generated_tokens": [3, 4]}
    model = MODELS["Qwen3-0.6B"]
    priced = price_ledger(rows, model, H100, batch=2)
    work = prefill_work(model, [10, 20]) + decode_work(model, [10, 20], [3, 4], batch=2)
    assert priced.work.flops.total.tolist() == pytest.approx(work.flops.total.tolist())
    first = price_ledger(rows, model, H100, batch=2, first_token="prefill").work
    assert first.n_decode_steps.tolist() == [1.0, 1.5]
    with pytest.raises(InputError, match="no started and seconds"):
        price_ledger(rows, model, H100)
    empty = {key: np.array([], dtype=object if key == "model" else int) for key in rows}
    assert price_ledger(empty, model, H100, batch=1).totals()["flops"]["total"] == 0


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), min_size=1, max_size=12),
    st.one_of(st.none(), st.integers(1, 4)),
)
def test_batches_follow_from_what_overlaps(spans: list[tuple[int, int]], most: int | None) -> None:
    started, seconds = (np.array(column, float) for column in zip(*spans, strict=True))
    batch = decode_batch(started, seconds, most)
    for i, (begin, length) in enumerate(spans):
        share = 0.0
        for tick in range(begin, begin + length):
            running = sum(s <= tick < s + d for s, d in spans)
            share += 1 / min(running, most or running)
        assert batch[i] == pytest.approx(length / share)
    if most is None:  # sequences that share every tick account for each tick once
        busy = len({t for s, d in spans for t in range(s, s + d)})
        assert float(np.sum(seconds / batch)) == pytest.approx(busy)


def test_replayed_entries_take_the_batch_of_the_fresh_ones() -> None:
    rows = {
        "model": ["m"] * 3,
        "n_prompt_tokens": [5] * 3,
        "n_generated_tokens": [8] * 3,
        "started": [0.0, 0.0, 100.0],
        "seconds": [2.0, 2.0, 0.0],
        "replayed": [False, False, True],
    }
    priced = price_ledger(rows, MODELS["Qwen3-0.6B"], H100)
    assert priced.work.n_decode_steps.tolist() == [4.0, 4.0, 4.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_generated_tokens": None}, "lacks n_generated_tokens"),
        ({"n_shared_tokens": [99, 0]}, "more prompt tokens are reused than there are"),
        ({"n_prompt_tokens": [-1, 4]}, "must not be negative"),
        ({"model": ["m", "unheard"]}, "no architecture is given for the model 'unheard'"),
        ({"attention": ["dense", "dance"]}, "unknown attention policy 'dance'"),
        ({"seconds": [1.0]}, "differ in length"),
    ],
)
def test_bad_ledgers_say_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    rows: dict[str, Any] = {
        "model": ["m", "m"],
        "n_prompt_tokens": [3, 4],
        "n_generated_tokens": [5, 6],
    }
    rows = {key: value for key, value in (rows | changes).items() if value is not None}
    with pytest.raises(InputError, match=message):
        price_ledger(rows, {"m": MODELS["Qwen3-0.6B"]}, H100, batch=1)
    with pytest.raises(InputError, match="no such ledger"):
        price_ledger("nowhere.parquet", MODELS, H100)
