"""Verifiers side by side: the numbers are the estimators', nothing is dropped, costs are total."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import brier_score_loss, roc_auc_score

from tests.planned import rows, write_run
from ttscale.errors import InputError
from ttscale.laws import ImperfectVerifier
from ttscale.plan.compare import Prices, compare
from ttscale.plan.pricing import Meter
from ttscale.record.pool import make_pool, read_counts
from ttscale.record.samples import SampleSet, read_samples
from ttscale.stats import best_of_k, mean_interval, paired_p_value, pass_at_k

N, P = 12, 40


def pool_rows(seed: int = 0, n_problems: int = P, n: int = N) -> list[dict[str, Any]]:
    """Scores: `good` knows, `noise` does not, `logprob` is a good one below zero, `gate` is 0/1."""
    rng = np.random.default_rng(seed)
    found = []
    for problem, rate in enumerate(rng.beta(1, 2, n_problems)):
        for index in range(n):
            right = bool(rng.random() < rate)
            good = 1 / (1 + np.exp(-(2 * right - 1 + rng.normal())))
            found.append(
                {
                    "problem_id": f"q{problem}",
                    "sample_index": index,
                    "sample_set": "samples",
                    "answer_class": 0 if right else int(rng.integers(1, 4)),
                    "correct": right,
                    "n_prompt_tokens": 10,
                    "n_generated_tokens": 100,
                    "finish_reason": "length" if index == 0 else "stop",
                    "score.good": good,
                    "score.noise": float(rng.random()),
                    "score.logprob": float(np.log(good)),
                    "score.gate": float(rng.random() < (0.9 if right else 0.2)),
                }
            )
    return found


def sample_set(found: list[dict[str, Any]], source: str = "pool", **metadata: Any) -> SampleSet:
    pool = make_pool(found, metadata)
    return SampleSet(source, "", pool.counts(), pool, metadata)


def record(*sets: SampleSet, **options: Any) -> dict[str, Any]:
    """The JSON of a comparison, as strict parsers see it."""
    result = compare(sets, n_resamples=300, **options).to_json()
    return json.loads(json.dumps(result, allow_nan=False))


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    return record(sample_set(pool_rows(), benchmark="sums"))


def by_name(result: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each for each in result["verifiers"]}


def column(found: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([row[name] for row in found], dtype=float).reshape(-1, N)


def test_numbers_are_the_estimators_own(shown: dict[str, Any]) -> None:
    found = pool_rows()
    right, ks = column(found, "correct"), np.arange(1, N + 1)
    (pool,) = shown["pools"]
    coverage = pass_at_k(N, right.sum(axis=1)[:, None], ks).mean(axis=0)
    assert [point["estimate"] for point in pool["oracle"]] == pytest.approx(coverage)
    assert [point["estimate"] for point in pool["random"]] == pytest.approx([right.mean()] * N)
    assert shown["k"] == N // 2
    for name, verifier in by_name(shown).items():
        score = column(found, f"score.{name}")
        best = best_of_k(score, right, ks).mean(axis=0)
        curve = verifier["curve"]
        assert [point["k"] for point in curve] == list(ks)
        assert [point["best_of"] for point in curve] == pytest.approx(best)
        assert all(point["low"] <= point["best_of"] <= point["high"] for point in curve)
        expected = (best[5] - right.mean()) / (coverage[5] - right.mean())
        assert verifier["efficiency"] == pytest.approx(expected)
        assert verifier["auroc"] == pytest.approx(roc_auc_score(right.ravel(), score.ravel()))
        assert verifier["n_missing"] == 0
    stated = by_name(shown)["good"]["calibration"]["stated"]["brier"]
    assert stated == pytest.approx(
        brier_score_loss(right.ravel(), column(found, "score.good").ravel())
    )
    assert pool["n_truncated"] == P


def test_a_score_that_knows_is_told_from_one_that_does_not(shown: dict[str, Any]) -> None:
    pairs = {(pair["a"], pair["b"]): pair for pair in shown["pairs"]}
    assert pairs["good", "random"]["p_value"] < 0.05 < pairs["noise", "random"]["p_value"]
    assert pairs["good", "random"]["low"] > 0
    assert pairs["noise", "good"]["high"] < 0
    assert all(pair["p_value"] >= pair["raw_p_value"] for pair in shown["pairs"])
    assert all(pair["k"] == shown["k"] for pair in shown["pairs"])
    assert ("good (weighted vote)", "majority") in pairs
    found = pool_rows()
    right = column(found, "correct")
    arms = (best_of_k(column(found, f"score.{name}"), right, 6) for name in ("noise", "good"))
    raw = paired_p_value(*arms, np.random.default_rng(0))
    assert pairs["noise", "good"]["raw_p_value"] == pytest.approx(raw, abs=0.01)


def test_scores_below_zero_vote_with_their_probabilities(shown: dict[str, Any]) -> None:
    verifiers = by_name(shown)
    assert verifiers["logprob"]["vote_weights"] == "platt"
    assert verifiers["good"]["vote_weights"] == "score"
    assert "stated" not in verifiers["logprob"]["calibration"]
    weighted, best = (
        [point[key] for point in verifiers["logprob"]["curve"]] for key in ("weighted", "best_of")
    )
    assert weighted[0] == pytest.approx(best[0])  # of one sample, whatever it weighs
    assert weighted[-1] > shown["pools"][0]["majority"][-1]["estimate"] - 0.05


def test_only_a_score_of_zeros_and_ones_has_a_ceiling(shown: dict[str, Any]) -> None:
    verifiers = by_name(shown)
    assert [name for name, each in verifiers.items() if each["ceiling"]] == ["gate"]
    ceiling = verifiers["gate"]["ceiling"]
    assert ceiling["completeness"]["value"] == pytest.approx(0.9, abs=0.08)
    assert ceiling["soundness"]["value"] == pytest.approx(0.8, abs=0.08)


def test_a_noisy_oracles_ceiling_and_best_attempts_are_the_closed_form() -> None:
    rng, found = np.random.default_rng(1), []
    shape, accept = (2.0, 4.0), (0.9, 0.1)
    for problem, rate in enumerate(rng.beta(*shape, 250)):
        for index, right in enumerate(rng.random(24) < rate):
            score = float(rng.random() < accept[0 if right else 1])
            found.append({"problem_id": f"q{problem}", "sample_index": index,
                          "correct": bool(right), "score.oracle": score})  # fmt: skip
    result = record(sample_set(found, oracles=["oracle"]))
    (verifier,) = result["verifiers"]
    assert verifier["oracle"] and any("oracle" in note for note in result["notes"])
    law = ImperfectVerifier(beta.ppf((np.arange(2000) + 0.5) / 2000, *shape),
                            np.full(2000, 1 / 2000), *(accept[0], 1 - accept[1]))  # fmt: skip
    ceiling = verifier["ceiling"]
    limit = float(law.outcome(np.inf).right)
    assert ceiling["accuracy"]["low"] <= limit <= ceiling["accuracy"]["high"]
    for point in ceiling["accept_first"]:
        assert point["predicted"] == pytest.approx(point["estimate"], abs=0.02)
    for best in ceiling["best_attempts"]:
        expected = law.best_attempts(best["wrong"])
        if expected <= 24:  # beyond the pool it hangs on how many problems are nearly hopeless
            assert best["attempts"] == pytest.approx(expected, rel=0.4)
        assert best["value"] == pytest.approx(float(law.value(expected, best["wrong"])), abs=0.06)
        low, high = (best["observed"][end] for end in ("low", "high"))
        assert low <= min(expected, 24) <= high
    assert verifier["curve"][0]["weighted"] is None, "nobody can vote without answers"


def test_missing_scores_rank_lowest_and_are_counted() -> None:
    found = pool_rows()
    for row in found[::5]:
        row["score.good"] = float("nan")
    found[1]["correct"] = None
    result = record(sample_set(found), verifiers=["good"])
    (verifier,) = result["verifiers"]
    right = np.nan_to_num(column(found, "correct"))
    score = column(found, "score.good")
    assert verifier["n_missing"] == len(found[::5])
    assert any("no score for" in note for note in result["notes"])
    assert any("1 ungradable" in note for note in result["notes"])
    assert verifier["curve"][3]["best_of"] == pytest.approx(best_of_k(score, right, 4).mean())
    known = ~np.isnan(score)
    stated = verifier["calibration"]["stated"]
    assert sum(each["n_samples"] for each in stated["bins"]) == known.sum()


def test_samples_that_were_never_scored_are_no_failures() -> None:
    found = pool_rows()
    for row in found:
        if row["sample_index"] >= 8:
            row["score.good"] = float("nan")
    found[3]["score.good"] = float("nan")
    result = record(sample_set(found[::-1]), verifiers=["good", "noise"])
    assert result["pools"][0]["n_samples"] == [8, 8]
    assert [each["n_missing"] for each in result["verifiers"]] == [1, 0]
    assert any("never scored" in note for note in result["notes"])


def test_scores_that_say_nothing() -> None:
    found = pool_rows()
    for row in found:
        row |= {"score.constant": 0.7, "score.broken": float("nan")}
    result = record(sample_set(found), verifiers=["constant", "broken"])
    for verifier in result["verifiers"]:
        assert verifier["auroc"] == verifier["auroc_within"] == 0.5
        values = {round(point["best_of"], 9) for point in verifier["curve"]}
        assert len(values) == 1, "every choice is as good as a random one"
    assert any("constant gives every sample the same score" in n for n in result["notes"])
    assert any("broken has no score at all" in note for note in result["notes"])
    assert all(p["p_value"] == 1 for p in result["pairs"] if p["b"] in ("random", "constant"))


def test_pools_are_joined_by_problem_whatever_their_order() -> None:
    one, two = pool_rows(), pool_rows(seed=1)
    shuffled = [two[i] for i in np.random.default_rng(0).permutation(len(two))]
    result = record(sample_set(one, "a"), sample_set(shuffled, "b"), verifiers=["good"])
    assert [each["name"] for each in result["verifiers"]] == ["good [a]", "good [b]"]
    (pair,) = [p for p in result["pairs"] if p["a"] == "good [b]" and p["b"] == "good [a]"]
    arms = [
        best_of_k(column(each, "score.good"), column(each, "correct"), N // 2)
        for each in (two, one)
    ]
    assert pair["difference"] == pytest.approx(float(np.mean(arms[0] - arms[1])))
    rng = np.random.default_rng(0)
    alone = mean_interval(arms[0], rng), mean_interval(arms[1], rng)
    assert pair["high"] - pair["low"] < sum(float(each.high - each.low) for each in alone)


def test_pools_over_some_of_the_same_problems_are_cut_to_them() -> None:
    few = sample_set(pool_rows(n_problems=25), "few")
    result = record(sample_set(pool_rows(), "all"), few, verifiers=["noise"])
    assert result["n_problems"] == 25
    assert any("25 of 40 problems are in every pool" in note for note in result["notes"])


@pytest.mark.parametrize(
    ("other", "metadata"), [("other problems", {}), ("same ids", {"benchmark": "products"})]
)
def test_pools_over_different_problems_are_refused(other: str, metadata: dict[str, str]) -> None:
    found = pool_rows(seed=1)
    if other == "other problems":
        found = [{**row, "problem_id": "x" + row["problem_id"]} for row in found]
    with pytest.raises(InputError, match="different problems"):
        record(sample_set(pool_rows(), "a", benchmark="sums"), sample_set(found, "b", **metadata))


def test_input_that_cannot_be_compared_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gate, good, logprob, noise") as refused:
        record(sample_set(pool_rows()), verifiers=["goood"])
    assert "good" in str(refused.value)
    (tmp_path / "counts.csv").write_text("problem_id,n_samples,n_correct\nq0,4,1\nq1,4,2\n")
    with pytest.raises(InputError, match="a counts file has no scores"):
        compare(read_samples(tmp_path / "counts.csv"))
    assert read_counts(tmp_path / "counts.csv").n_samples.sum() == 8
    unscored = [{k: v for k, v in row.items() if "score" not in k} for row in pool_rows()]
    with pytest.raises(InputError, match="no scores to compare"):
        record(sample_set(unscored))
    with pytest.raises(InputError, match="one problem"):
        record(sample_set(pool_rows(n_problems=1)))
    with pytest.raises(InputError, match="so many samples"):
        record(sample_set(pool_rows()), k=N + 1)


def test_ends_of_searches_and_unscored_sets_are_left_out_and_said_so(tmp_path: Path) -> None:
    scored = [{**row, "sample_set": "samples"} for row in pool_rows(n_problems=20)]
    plain = [{k: v for k, v in row.items() if "score" not in k} for row in scored]
    ends = [{**row, "sample_set": "beam"} for row in scored]
    made = [*scored, *ends, *({**row, "sample_set": "hot"} for row in plain)]
    make_pool(made, {"searches": ["beam"]}).write(tmp_path / "pool.parquet")
    sets = read_samples(tmp_path / "pool.parquet")
    result = record(*sets, verifiers=["good"])
    assert [each["label"].endswith("[samples]") for each in result["pools"]] == [True]
    assert any("beam] holds the ends of a search" in note for note in result["notes"])
    assert any("hot] holds no such scores" in note for note in result["notes"])


def test_cost_is_total_and_budgets_are_equal() -> None:
    prices = Prices.parse("cents", sample_cost=2.0, score_costs=["good=2", "noise=0"])
    result = record(sample_set(pool_rows()), verifiers=["good", "noise"], prices=prices)
    good, noise = by_name(result)["good"], by_name(result)["noise"]
    assert result["cost_unit"] == "cents"
    assert (good["cost_per_problem"], noise["cost_per_problem"]) == (6 * 4, 6 * 2)
    assert good["curve"][2]["cost_per_problem"] == 3 * 4
    equal = result["equal_cost"]
    assert equal["cost_per_problem"] == pytest.approx(12)
    bought = {p["a"]: p["k_a"] for p in equal["pairs"]} | {p["b"]: p["k_b"] for p in equal["pairs"]}
    assert bought["good"] == bought["good (weighted vote)"] == 3
    assert bought["noise"] == bought["majority"] == bought["random"] == 6
    costs = [point["cost_per_problem"] for point in result["frontier"]]
    accuracies = [point["accuracy"] for point in result["frontier"]]
    assert costs == sorted(costs) and accuracies == sorted(accuracies)


def test_unknown_costs_are_unknown_and_known_ones_come_from_the_ledger(tmp_path: Path) -> None:
    bare = record(sample_set(pool_rows()), verifiers=["good"])
    assert bare["verifiers"][0]["cost_per_problem"] is None
    assert bare["equal_cost"] is None
    assert any("what good costs is unknown" in note for note in bare["notes"])
    run = write_run(tmp_path / "run", rows(), judge="judge", judge_tokens=150)
    tokens = record(*read_samples(run))
    generated = np.mean([row["n_generated_tokens"] for row in rows()])
    (judge,) = tokens["verifiers"]
    assert judge["cost_per_problem"] == pytest.approx(8 * generated)  # reading generates nothing
    meter = Prices(Meter("flops", None, {"Qwen2.5-0.5B": "SmolLM2-135M-Instruct"}))
    flops = record(*read_samples(run), prices=meter)["verifiers"][0]
    assert flops["cost_per_score"] > 0
    assert flops["cost_per_problem"] > 8 * flops["cost_per_score"]


@pytest.mark.parametrize(
    ("unit", "options"),
    [
        ("tokns", {}),
        ("usd", {}),
        ("tokens", {"score_costs": ["good"]}),
        ("tokens", {"score_costs": ["good=-1"]}),
        ("tokens", {"sample_cost": -1.0}),
    ],
)
def test_prices_that_mean_nothing_are_refused(unit: str, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Prices.parse(unit, **options)


def test_the_same_seed_gives_the_same_numbers() -> None:
    sets = sample_set(pool_rows(n_problems=20))
    first, second = (record(sets, verifiers=["good"]) for _ in range(2))
    other = record(sets, verifiers=["good"], rng=np.random.default_rng(1))
    assert first == second != other
    (more,) = [v for v in record(sets)["verifiers"] if v["name"] == "good"]
    assert more == first["verifiers"][0], "who else is compared does not matter"
