"""`ttscale plan`: what it answers, and what it says to bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.planned import rows, write_pool, write_run
from ttscale import cli

REFERENCE = Path(__file__).parents[1] / "results" / "reference"
Answer = Callable[..., dict[str, Any]]
Refusal = Callable[..., str]


def run(arguments: list[object], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["ttscale", "plan", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Answer:
    def ask(*arguments: object) -> dict[str, Any]:
        assert run([*arguments, "--json"], monkeypatch) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return ask


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    def ask(*arguments: object) -> str:
        assert run(list(arguments), monkeypatch) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        return printed.err

    return ask


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return write_pool(tmp_path / "pool.parquet", rows(), model="Qwen3-0.6B", benchmark="sums")


def test_a_recommendation_is_the_best_point_within_the_budget(pool: Path, answer: Answer) -> None:
    found = answer(pool, "--budget", "10 samples")
    best = found["recommendation"]
    offered = [
        (point["accuracy"], each["selector"], point["n"])
        for each in found["candidates"]
        if not each["bound"]
        for point in each["curve"]
        if point["cost"] <= 10
    ]
    assert max(offered)[0] == pytest.approx(best["accuracy"])
    assert best["n"] <= 10
    assert best["low"] <= best["accuracy"] <= best["high"]
    assert best["run_low"] <= best["low"]
    assert best["high"] <= best["run_high"]
    assert 0 < best["chance_best"] <= 1
    assert best["cross_fitted"]["accuracy"] <= best["accuracy"] + 1e-9
    second = found["runner_up"]
    assert second["selector"] != best["selector"]
    assert second["difference"]["estimate"] == pytest.approx(best["accuracy"] - second["accuracy"])
    enough = found["enough"]
    assert enough["cost"] <= best["cost"]
    assert enough["accuracy"] > best["accuracy"] - enough["epsilon"]
    assert {each["selector"] for each in found["candidates"]} == {
        "single", "coverage", "majority", "best_of:judge", "weighted_majority:judge",
    }  # fmt: skip


def test_the_frontier_rises_and_holds_the_recommendation(pool: Path, answer: Answer) -> None:
    found = answer(pool, "--budget", "1e12 FLOPs", "--difficulty", "none")
    costs, values = ([p[k] for p in found["frontier"]] for k in ("cost", "accuracy"))
    assert costs == sorted(costs)
    assert values == sorted(values)
    best = found["recommendation"]
    assert (best["cost"], best["accuracy"]) in zip(costs, values, strict=True)


def test_coverage_is_a_bound_unless_answers_can_be_checked(pool: Path, answer: Answer) -> None:
    by_name = {e["selector"]: e for e in answer(pool, "--budget", "16 samples")["candidates"]}
    assert "--verifiable" in by_name["coverage"]["bound"]
    found = answer(pool, "--budget", "16 samples", "--verifiable")
    assert found["recommendation"]["selector"] == "coverage"
    assert found["recommendation"]["n"] == 16


def test_an_oracle_is_shown_and_never_recommended(tmp_path: Path, answer: Answer) -> None:
    samples = rows(score="exact")
    for row in samples:
        row["score.exact"] = float(row["correct"])
    pool = write_pool(tmp_path / "p.parquet", samples, oracles=["exact"])
    found = answer(pool, "--budget", "16 samples")
    bounds = {each["selector"]: each["bound"] for each in found["candidates"]}
    assert "reference answer" in bounds["best_of:exact"]
    assert found["recommendation"]["selector"] in {"single", "majority"}
    assert all(point["selector"] in {"single", "majority"} for point in found["frontier"])


def test_a_budget_for_many_problems_is_shared_among_them(pool: Path, answer: Answer) -> None:
    one = answer(pool, "--budget", "10 samples")
    many = answer(pool, "--budget", "300 samples", "--problems", "30")
    assert many["budget"]["per_problem"] == one["budget"]["per_problem"] == 10
    assert many["budget"]["per"] == "30 problems"
    assert many["recommendation"]["n"] == one["recommendation"]["n"]
    assert any("30 problems together" in note for note in many["notes"])


def test_beyond_the_pool_a_law_speaks_and_says_so(pool: Path, answer: Answer) -> None:
    found = answer(pool, "--budget", "200 samples", "--verifiable", "--difficulty", "none")
    best = found["recommendation"]
    assert best["extrapolated"]
    assert 16 < best["n"] <= 200
    coverage = next(e for e in found["candidates"] if e["selector"] == "coverage")
    assert coverage["law"]
    assert all(p["extrapolated"] == (p["n"] > 16) for p in coverage["curve"])
    assert best["low"] <= best["accuracy"] <= best["high"]
    assert found["allocation"] is None


def test_counts_are_the_smallest_pool(tmp_path: Path, answer: Answer) -> None:
    counts = tmp_path / "counts.csv"
    lines = [f"q{i},20,{i % 7}" for i in range(30)]
    counts.write_text("problem_id,n_samples,n_correct\n" + "\n".join(lines) + "\n")
    single = answer(counts, "--budget", "12 samples")["recommendation"]
    assert (single["selector"], single["n"]) == ("single", 1)
    checked = answer(counts, "--budget", "12 samples", "--verifiable")["recommendation"]
    assert (checked["selector"], checked["n"]) == ("coverage", 12)


def test_a_run_offers_its_searches_and_pays_its_verifier(tmp_path: Path, answer: Answer) -> None:
    samples = rows()
    right = {f"q{i}": True for i in range(30)}
    run_folder = write_run(tmp_path / "run", samples, judge="judge", search=right)
    found = answer(run_folder, "--budget", "1.5e12 FLOPs")
    best = found["recommendation"]
    assert (best["selector"], best["sample_set"]) == ("strategy", "beam_search(n=4)")
    assert best["accuracy"] == 1.0
    assert best["n"] is None
    assert "one budget only" in found["allocation"]["oracle"]["reason"]
    cost = {
        each["selector"]: {point["n"]: point["cost"] for point in each["curve"]}
        for each in found["candidates"]
    }
    assert cost["best_of:judge"][4] > cost["majority"][4] * 1.05
    without = answer(tmp_path / "run" / "pool.parquet", "--budget", "1.5e12 FLOPs")
    assert any("no ledger to price it" in note for note in without["notes"])


@pytest.mark.parametrize("negative", [False, True])
def test_a_weighted_vote_is_a_point_of_its_own_only_where_it_has_no_curve(
    tmp_path: Path, answer: Answer, negative: bool
) -> None:
    samples = rows()
    for row in samples:
        row["score.judge"] -= 10 * negative
    vote, right = "weighted_majority(n=16, judge)", {f"q{i}": True for i in range(30)}
    folder = tmp_path / "run"
    run_folder = write_run(folder, samples, judge="judge", search=right, searcher=vote)
    found = answer(run_folder, "--budget", "1.5e12 FLOPs", "--difficulty", "none")
    offered = {(each["selector"], each["sample_set"]) for each in found["candidates"]}
    assert ("weighted_majority:judge" in {selector for selector, _ in offered}) is not negative
    assert (("strategy", vote) in offered) is negative


def test_models_are_matched_at_equal_flops(tmp_path: Path, answer: Answer) -> None:
    small = write_pool(tmp_path / "small.parquet", rows(n=24), model="Qwen3-0.6B")
    large = write_pool(
        tmp_path / "large.parquet", rows(seed=1, ability=1.5, n=24), model="Qwen3-4B"
    )
    found = answer(small, large, "--budget", "2e12 FLOPs", "--difficulty", "none")
    matched = found["matched"]
    assert {row["small_model"] for row in matched} == {"Qwen3-0.6B"}
    equal = [r for r in matched if r["inference_over_pretraining"] is None]
    for row in equal:
        assert row["small"]["cost"] <= row["large"]["cost"] * (1 + 1e-9)
        assert row["large"]["n"] == 1
        assert row["difference"]["estimate"] == pytest.approx(
            row["small"]["accuracy"] - row["large"]["accuracy"]
        )
    ratios = {r["inference_over_pretraining"]: r for r in matched}
    assert {0.16, 0.79, 22.0} <= set(ratios)
    # 6.7 times larger: at R = 22 some 7.5 samples, at R = 0.16 more than the pool of 24 holds.
    assert ratios[22.0]["small"]["n"] == 7
    assert ratios[0.16]["small"] is None


def test_verdicts_add_a_section(tmp_path: Path, answer: Answer) -> None:
    import numpy as np
    import pyarrow as pa

    from ttscale.record.pool import Pool, make_pool

    samples = rows(score=None)
    rng = np.random.default_rng(5)
    verdicts = [
        [bool(rng.random() < (0.7 if row["correct"] else 0.3)) for _ in range(8)] for row in samples
    ]
    made = make_pool(samples, {})
    table = made.table.append_column("verdicts.genrm", pa.array(verdicts))
    path = tmp_path / "verdicts.parquet"
    Pool(table).write(path)
    found = answer(path, "--budget", "100 samples")
    (section,) = found["verification"]
    best = found["recommendation"]
    assert best["selector"].startswith("best_of:genrm(V=")
    assert best["accuracy"] == pytest.approx(section["best"]["accuracy"])
    assert "verdicts" in found["allocation"]["predicted"]["reason"]
    assert section["verifier"] == "genrm"
    assert (section["ratio"], section["ratio_from"]) == (1.0, "assumed")
    assert section["n_solutions"] == [1, 2, 4, 8, 16]
    assert section["n_verdicts"] == [1, 2, 4, 8]
    assert section["cost"][4][3] == 16 * (1 + 8)
    assert section["best"]["cost"] <= 100
    assert section["accuracy"][4][3] > section["accuracy"][0][0] + 0.05
    assert len(section["split"]["budgets"]) == len(section["split"]["accuracy"]) > 3


def test_only_shared_problems_count(tmp_path: Path, answer: Answer) -> None:
    first = write_pool(tmp_path / "a.parquet", rows(30))
    second = write_pool(tmp_path / "b.parquet", rows(25, seed=3))
    found = answer(first, second, "--budget", "8 samples", "--difficulty", "none")
    assert found["n_problems"] == 25
    assert any("25 of 30 problems" in note for note in found["notes"])


def test_simulated_beside_measured_is_labelled(tmp_path: Path, answer: Answer) -> None:
    real = write_pool(tmp_path / "real.parquet", rows())
    fake = write_pool(tmp_path / "fake.parquet", rows(seed=2), simulated=True)
    found = answer(real, fake, "--budget", "8 samples", "--difficulty", "none")
    assert any("simulated and stands beside measured" in note for note in found["notes"])
    assert {e["source"]: e["simulated"] for e in found["candidates"]} == {
        str(real): False, str(fake): True,
    }  # fmt: skip


def test_seconds_take_a_machine_and_say_whose_they_are(tmp_path: Path, answer: Answer) -> None:
    run_folder = write_run(tmp_path / "run", rows(), batch=8)
    found = answer(run_folder, "--budget", "10 s", "--hardware", "H100")
    assert found["hardware"] == "H100"
    assert any("not latency" in note for note in found["notes"])
    assert any("8 sequences decoded together" in note for note in found["notes"])
    alone = answer(run_folder / "pool.parquet", "--budget", "10 s", "--hardware", "H100")
    assert any("the samples of one problem decoded together" in n for n in alone["notes"])


def test_the_same_seed_gives_the_same_plan(pool: Path, answer: Answer) -> None:
    one, again = (answer(pool, "--budget", "9 samples", "--seed", "3") for _ in range(2))
    assert one == again


def test_the_page_begins_with_the_recommendation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    figure = tmp_path / "plan.svg"
    assert run([REFERENCE, "--budget", "5e10 FLOPs", "--plot", figure], monkeypatch) == 0
    page = capsys.readouterr().out
    assert page.strip().startswith("With 50 GFLOPs a problem: draw ")
    for part in ("Frontier", "95 %", "divided by difficulty", "· the budget is for one problem"):
        assert part in page
    assert "<svg" in figure.read_text()


# What it says to bad input.


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("60", "has no unit"),
        ("60 parsecs", "cannot read the unit"),
        ("700 W", "measures watts"),
        ("0 s", "must be above zero"),
        ("0.5 samples", "does not pay for one sample"),
    ],
)
def test_budgets_that_cannot_be(pool: Path, refusal: Refusal, budget: str, message: str) -> None:
    said = refusal(pool, "--budget", budget)
    assert message in said
    assert "--budget" in said


def test_a_small_budget_is_told_what_a_sample_costs(pool: Path, refusal: Refusal) -> None:
    assert "one sample costs 1" in refusal(pool, "--budget", "1e9 FLOPs")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "60 s"], "--hardware"),
        (["--budget", "60 s", "--hardware", "abacus"], "no hardware is called 'abacus'"),
        (["--budget", "1 USD", "--hardware", "EPYC-2core"], "has no price"),
        (["--budget", "9 samples", "--problems", "0"], "at least 1"),
        (["--budget", "9 samples", "--epsilon", "2"], "--epsilon"),
        (["--budget", "9 samples", "--difficulty", "hard"], "unknown difficulty"),
        (["--budget", "9 samples", "--pilot", "0"], "at least one sample"),
        (["--budget", "9 samples", "--plot", "plan.gif"], "PNG or an SVG"),
    ],
)
def test_options_that_do_not_fit(
    pool: Path, refusal: Refusal, options: list[str], message: str
) -> None:
    assert message in refusal(pool, *options)


def test_a_model_without_architecture(tmp_path: Path, refusal: Refusal, answer: Answer) -> None:
    unknown = write_pool(tmp_path / "p.parquet", rows(), model="my/secret-model")
    unnamed = write_pool(tmp_path / "q.parquet", rows())
    for path in (unknown, unnamed):
        assert "--model" in refusal(path, "--budget", "1e12 FLOPs")
        found = answer(path, "--budget", "1e12 FLOPs", "--model", "Qwen3-0.6B")
        assert found["recommendation"]["cost"] <= 1e12
    named = ["--model", "my/secret-model=Qwen3-0.6B"]
    assert answer(unknown, "--budget", "1e12 FLOPs", *named)["recommendation"]
    assert "secret" in refusal(unknown, "--budget", "1e12 FLOPs", "--model", "other=Qwen3-0.6B")


def test_samples_without_tokens(tmp_path: Path, refusal: Refusal) -> None:
    samples = [{k: v for k, v in row.items() if "tokens" not in k} for row in rows()]
    path = write_pool(tmp_path / "p.parquet", samples, model="Qwen3-0.6B")
    for budget in ("1e12 FLOPs", "10000 tokens"):
        assert "n_generated_tokens" in refusal(path, "--budget", budget)


def test_sources_that_cannot_be_compared(tmp_path: Path, refusal: Refusal) -> None:
    budget = ("--budget", "8 samples")
    one = write_pool(tmp_path / "a.parquet", rows(), benchmark="sums")
    other = write_pool(tmp_path / "b.parquet", rows(prefix="other"))
    assert "no problem in common" in refusal(one, other, *budget)
    third = write_pool(tmp_path / "c.parquet", rows(), benchmark="gsm8k")
    assert "different benchmarks" in refusal(one, third, *budget)
    assert "given twice" in refusal(one, one, *budget)
    assert "no such file" in refusal(tmp_path / "none.parquet", *budget)


def test_pools_that_bear_no_plan(tmp_path: Path, refusal: Refusal) -> None:
    budget = ("--budget", "8 samples")
    alone = write_pool(tmp_path / "one.parquet", rows(1))
    assert "one problem bears no plan" in refusal(alone, *budget)
    wrong = [row | {"correct": False} for row in rows()]
    assert "no sample of any source is right" in refusal(
        write_pool(tmp_path / "wrong.parquet", wrong), *budget
    )
    counts = tmp_path / "none.csv"
    counts.write_text("problem_id,n_samples,n_correct\na,5,0\nb,5,0\n")
    assert "no sample of any source is right" in refusal(counts, *budget)
    searches = write_pool(tmp_path / "s.parquet", rows(), searches=["samples"])
    assert "no independent samples" in refusal(searches, *budget)


def test_one_sample_each_leaves_no_choice(tmp_path: Path, answer: Answer) -> None:
    found = answer(write_pool(tmp_path / "p.parquet", rows(n=1)), "--budget", "8 samples")
    assert found["recommendation"]["selector"] == "single"
    assert found["runner_up"] is None
    assert found["allocation"]["predicted"]["reason"]


def test_a_verifier_is_judged_by_the_samples_it_saw(tmp_path: Path, answer: Answer) -> None:
    """The last eight samples of each problem were never scored; one earlier score failed."""
    samples = rows()
    for row in samples:
        if row["sample_index"] >= 8:
            row["score.judge"] = float("nan")
    samples[2]["score.judge"] = float("nan")
    found = answer(write_pool(tmp_path / "p.parquet", samples), "--budget", "8 samples")
    ends = {each["selector"]: each["curve"][-1]["n"] for each in found["candidates"]}
    assert (ends["majority"], ends["best_of:judge"]) == (16, 8)
    assert any("240 samples were not scored by judge" in note for note in found["notes"])
    assert any("1 scores of judge failed" in note for note in found["notes"])
    short = write_pool(tmp_path / "short.parquet", [r for r in samples if r["sample_index"] < 8])
    same = answer(short, "--budget", "8 samples")["candidates"]
    best = {e["selector"]: e["curve"] for e in found["candidates"]}["best_of:judge"]
    alone = {e["selector"]: e["curve"] for e in same}["best_of:judge"]
    assert [p["accuracy"] for p in best] == pytest.approx([p["accuracy"] for p in alone])
