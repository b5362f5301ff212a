"""Prices of a plan against `ttscale.cost`, and against the ledger they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.planned import rows, write_pool, write_run
from ttscale.cost import Architecture, Hardware, Question, estimate, prefill_work, price_ledger
from ttscale.errors import InputError
from ttscale.plan.pricing import (
    Meter,
    mean_batch,
    sample_cost,
    search_costs,
    verification_cost,
)
from ttscale.plan.sources import Sources, read_sources

MODEL = "SmolLM2-135M-Instruct"
H100 = Hardware.load("H100")


def alike() -> list[dict[str, object]]:
    return [row | {"n_generated_tokens": 90} for row in rows(4, 8)]


def read(path: Path) -> Sources:
    return read_sources([path])


@pytest.mark.parametrize("dimension", ["flops", "bytes", "eflops", "seconds", "usd", "joules"])
def test_samples_cost_what_the_cost_command_says(tmp_path: Path, dimension: str) -> None:
    path = write_pool(tmp_path / "p.parquet", alike(), model=MODEL)
    found = sample_cost(read(path).sources[0], 4, Meter(dimension, H100))(np.array([1, 2, 8]))
    for column, n in enumerate((1, 2, 8)):
        expected = estimate(Architecture.from_config(MODEL), H100, Question(40, 90, n))
        name = "n_bytes" if dimension == "bytes" else dimension
        value = expected[name]
        total = value["total"] if isinstance(value, dict) else value
        assert found[:, column] == pytest.approx(np.full(4, total))


def test_every_sample_is_priced_at_its_own_length(tmp_path: Path) -> None:
    samples = rows(3, 6)
    path = write_run(tmp_path / "run", samples)
    sources = read(path)
    run = sources.sources[0].run
    found = sample_cost(sources.sources[0], 3, Meter("flops"))(np.array([6]))[:, 0]
    model = Architecture.from_config(MODEL)
    priced = price_ledger(run.ledger, model, H100, batch=1.0).work.flops
    problem = np.repeat(np.arange(3), 6)
    expected = np.bincount(problem, priced.decode) + prefill_work(model, 40).flops.total
    assert found == pytest.approx(expected)


def test_a_run_is_priced_at_its_own_batch(tmp_path: Path) -> None:
    run = read(write_run(tmp_path / "run", rows(4, 8), batch=4)).sources[0].run
    assert mean_batch(run, MODEL) == pytest.approx(4)
    assert mean_batch(run, "another") is None


def test_verifying_costs_what_the_ledger_says(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", rows(4, 8), judge="judge", judge_tokens=150)
    sources = read(path)
    meter = Meter("flops")
    found = verification_cost(sources.sources[0], "judge", 4, sources.problem_ids, meter)
    judge = Architecture.from_config("Qwen2.5-0.5B-Instruct")
    assert found == pytest.approx(np.full(4, prefill_work(judge, 150, head=False).flops.total))
    other = verification_cost(sources.sources[0], "other", 4, sources.problem_ids, meter)
    assert other.tolist() == [0] * 4
    free = verification_cost(sources.sources[0], "judge", 4, sources.problem_ids, Meter("tokens"))
    assert free.tolist() == [0] * 4


def test_a_search_costs_all_its_entries(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", rows(4, 8), search=dict.fromkeys(("q0", "q2"), True))
    sources = read(path)
    run = sources.runs[str(path)]
    meter = Meter("tokens")
    found = search_costs(run, "beam_search(n=4)", sources.problem_ids, meter, str(path))
    assert found.tolist() == [700, 0, 700, 0]


def test_counted_budgets_need_no_architecture(tmp_path: Path) -> None:
    path = write_pool(tmp_path / "p.parquet", alike())
    source = read(path).sources[0]
    assert sample_cost(source, 4, Meter("samples"))(np.array([3])).tolist() == [[3]] * 4
    assert sample_cost(source, 4, Meter("tokens"))(np.array([3])).tolist() == [[270]] * 4


def test_machines_without_the_figure_are_refused() -> None:
    with pytest.raises(InputError, match="needs a machine"):
        Meter("joules")
    with pytest.raises(InputError, match="has no power"):
        Meter("joules", Hardware.load("EPYC-2core"))
