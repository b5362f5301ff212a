"""`ttscale fit`: what it prints, and what it says of input that bears no answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ttscale import cli
from ttscale.laws import law_names
from ttscale.record.pool import Pool, make_pool
from ttscale.stats import pass_at_k

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
QUICK = ["--law", "beta", "--n-bootstrap", "20"]


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit status of the command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["ttscale", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


class Fit:
    """`ttscale fit` on one source, quick unless told otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def text(self, source: Path, *options: str) -> str:
        assert run(["fit", str(source), *QUICK, *options], self.monkeypatch) == 0
        return self.capsys.readouterr().out

    def json(self, source: Path, *options: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.text(source, *options, "--json"))
        return record

    def refusal(self, source: Path, *options: str) -> str:
        """The message, after exit status 2."""
        assert run(["fit", str(source), *QUICK, *options], self.monkeypatch) == 2
        streams = self.capsys.readouterr()
        assert not streams.out
        return streams.err


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fit:
    return Fit(monkeypatch, capsys)


def counts_file(folder: Path, n_samples: list[int], n_correct: list[int]) -> Path:
    path = folder / "counts.csv"
    rows = [f"p{i},{n},{c}\n" for i, (n, c) in enumerate(zip(n_samples, n_correct, strict=True))]
    path.write_text("problem_id,n_samples,n_correct\n" + "".join(rows))
    return path


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    """24 problems of 32 samples, p ~ Beta(0.5, 2)."""
    rng = np.random.default_rng(3)
    return counts_file(tmp_path, [32] * 24, rng.binomial(32, rng.beta(0.5, 2, 24)).tolist())


def sampled_rows(sample_set: str = "samples", n: int = 8, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of 20 problems: answer 0 is right, `judge` scores it higher, `logprob` is negative."""
    rng = np.random.default_rng(seed)
    rows = []
    for problem, p in enumerate(rng.beta(1, 2, 20)):
        for index, right in enumerate(rng.random(n) < p):
            rows.append(
                {
                    "problem_id": f"p{problem}",
                    "sample_index": index,
                    "sample_set": sample_set,
                    "answer_class": 0 if right else int(rng.integers(1, 4)),
                    "correct": bool(right),
                    "finish_reason": "stop",
                    "score.judge": float(rng.random() + right),
                    "score.logprob": -float(rng.random()),
                    "score.exact": float(right),
                }
            )
    return rows


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A pool with two scores, a truncated abstention, an ungradable answer and a missing score."""
    rows = sampled_rows()
    rows[0] |= {"answer_class": None, "correct": False, "finish_reason": "length"}
    rows[1] |= {"correct": None}
    rows[2] |= {"score.judge": float("nan")}
    make_pool(rows, {"model": "m", "benchmark": "b", "oracles": ["exact"]}).write(
        tmp_path / "pool.parquet"
    )
    return tmp_path / "pool.parquet"


def test_json_of_a_counts_file_holds_curve_laws_saturation_and_predictions(
    fit: Fit, counts: Path
) -> None:
    record = fit.json(counts, "--law", "auto", "--k", "16,64,3200", "--epsilon", "0.02")
    n_correct = [int(line.split(",")[2]) for line in counts.read_text().splitlines()[1:]]
    assert (record["n_problems"], record["n_samples"]) == (24, 24 * 32)
    assert record["counts"]["n_correct"] == sum(n_correct)
    assert record["counts"]["n_truncated"] is None
    ks = [point["k"] for point in record["curve"]]
    assert ks == sorted(set(ks)) and {1, 2, 4, 8, 16, 32} <= set(ks) and ks[-1] == 32
    expected = pass_at_k(32, np.array(n_correct)[:, None], ks).mean(axis=0)
    assert [point["estimate"] for point in record["curve"]] == pytest.approx(expected.tolist())
    assert all(point["low"] <= point["estimate"] <= point["high"] for point in record["curve"])
    by_name = {law["family"]: law for law in record["laws"]}
    assert set(by_name["beta"]["parameters"]) == {"alpha", "beta"}
    assert set(by_name["beta"]["parameters"]["alpha"]) == {"value", "low", "high"}
    assert [law["family"] for law in record["laws"] if law["selected"]] == ["pooled"]
    assert record["saturation"]["epsilon"] == 0.02
    assert record["saturation"]["low"] <= record["saturation"]["n"] <= record["saturation"]["high"]
    assert [(p["k"], p["extrapolated"]) for p in record["extrapolation"]] == [
        (16, False),
        (64, True),
        (3200, True),
    ]
    assert record["asymptote"]["identified"] is False
    assert record["curves"] == record["selectors"] == {}
    assert record["checklist"]["n_problems"] == 24


def test_a_pools_selectors_have_curves_and_laws_and_its_oracles_a_label(
    fit: Fit, pool: Path
) -> None:
    record = fit.json(pool)
    names = {"majority", "best_of:judge", "best_of:logprob", "best_of:exact"}
    names.add("weighted_majority:judge")
    assert set(record["curves"]) == set(record["selectors"]) == names
    assert record["oracles"] == ["best_of:exact"]
    assert record["selectors"]["best_of:exact"]["oracle"]
    assert not record["selectors"]["best_of:judge"]["oracle"]
    assert record["counts"]["n_ungradable"] == 1
    assert record["counts"]["n_truncated"] == record["counts"]["n_abstained"] == 1
    assert record["counts"]["n_nan_scores"] == {"judge": 1, "logprob": 0, "exact": 0}
    notes = " ".join(record["notes"])
    assert "1 scores of judge are missing" in notes
    assert "logprob goes below zero" in notes
    assert "1 ungradable samples count as wrong" in notes
    first = {name: curve[0]["estimate"] for name, curve in record["curves"].items()}
    alone = record["curve"][0]["estimate"]
    without_weight = first.pop("weighted_majority:judge")
    assert first == pytest.approx(dict.fromkeys(first, alone))
    assert alone - 1 / 160 <= without_weight <= alone  # the sample without a score casts no vote
    errors = [point["monte_carlo_error"] for point in record["curves"]["weighted_majority:judge"]]
    assert errors == pytest.approx([0.0] * len(errors))  # few samples: every subset was listed
    for selector in record["selectors"].values():
        assert selector["laws"] and selector["extrapolation"][0]["prediction"] is not None


def test_one_law_is_used_for_the_curves_it_is_a_law_of(fit: Fit, pool: Path) -> None:
    record = fit.json(pool, "--law", "one_over_k")
    assert record["selected"] == "pooled"
    assert {s["selected"] for s in record["selectors"].values()} == {"one_over_k"}
    assert "one_over_k is no law of coverage: auto chose there" in record["notes"]


def test_points_beyond_fit_up_to_are_held_out_and_shown_beside_the_prediction(
    fit: Fit, counts: Path
) -> None:
    record = fit.json(counts, "--fit-up-to", "7")
    held = record["heldout"]
    assert record["fitted_to"] == record["fit_up_to"] == 7
    assert [p["k"] for p in held] == [p["k"] for p in record["curve"] if p["k"] > 7]
    assert held[-1]["k"] == 32
    miss = [p["prediction"] - p["estimate"] for p in held]
    assert record["heldout_rms_error"] == pytest.approx(np.sqrt(np.mean(np.square(miss))))
    assert all(p["prediction_low"] <= p["prediction"] <= p["prediction_high"] for p in held)
    whole = fit.json(counts)
    assert whole["heldout"] == [] and whole["heldout_rms_error"] is None
    text = fit.text(counts, "--fit-up-to", "7")
    assert "held out" in text and "predicted" in text


def test_saturation_by_price_is_the_point_where_a_sample_outweighs_its_gain(
    fit: Fit, counts: Path
) -> None:
    record = fit.json(counts, "--price", "0.4 cents", "--worth", "0.002 USD")
    point = record["saturation_by_price"]
    assert point["epsilon"] == pytest.approx(0.02)  # 0.4 cents buy two points at 0.2 cents each
    assert point["n"] == fit.json(counts, "--epsilon", "0.02")["saturation"]["n"]
    assert (point["unit"], point["worth_of_a_point"]) == ("usd", 0.002)
    text = fit.text(counts, "--price", "0.4 cents", "--worth", "0.002 USD")
    assert "a sample costs 0.004 USD, a point is worth 0.002 USD" in text


def test_a_seed_gives_the_same_answer_and_another_seed_other_intervals(
    fit: Fit, counts: Path
) -> None:
    one, same, other = (fit.json(counts, "--seed", seed) for seed in ("1", "1", "2"))
    assert one == same
    assert one["curve"] != other["curve"]
    assert one["extrapolation"] != other["extrapolation"]


def test_the_reference_runs_curves_are_those_of_its_summary(fit: Fit) -> None:
    record = fit.json(REFERENCE)
    (entry,) = json.loads((REFERENCE / "summary.json").read_text())["samples"]
    for key, curve in (
        ("pass_at_k", record["curve"]),
        ("majority_at_k", record["curves"]["majority"]),
    ):
        found = {point["k"]: point["estimate"] for point in curve}
        for point in entry[key]:
            assert found[point["k"]] == pytest.approx(point["estimate"])
    assert record["counts"]["n_truncated"] == entry["n_truncated"]
    assert record["counts"]["n_abstained"] == entry["n_without_answer"]


def test_the_tables_are_calm_and_mark_what_lies_beyond_the_data(fit: Fit) -> None:
    text = fit.text(REFERENCE)
    lines = text.splitlines()
    assert len(lines) <= 45 and max(map(len, lines)) <= 100
    assert "embedded on chain_sum, 64 problems × 16 samples" in lines[0]
    assert "beyond data" in text
    assert "no gain above 1 point per sample after N samples" in text


def test_simulated_samples_and_oracles_are_called_so(fit: Fit, tmp_path: Path) -> None:
    metadata = {"simulated": True, "oracles": ["exact"]}
    make_pool(sampled_rows(), metadata).write(tmp_path / "p.parquet")
    text = fit.text(tmp_path / "p.parquet")
    assert "SIMULATED" in text
    assert text.count("(oracle)") == 1 and "exact (oracle)" in text
    assert fit.json(tmp_path / "p.parquet")["simulated"]


def test_every_key_of_the_record_is_documented(fit: Fit, pool: Path) -> None:
    documentation = (ROOT / "docs" / "fit.md").read_text(encoding="utf-8")
    keys = documentation.partition("## The JSON object")[2].partition("## From Python")[0]
    record = fit.json(pool, "--price", "1 s", "--worth", "9 s", "--fit-up-to", "4")
    nested = [*record["counts"], *record["saturation_by_price"], *record["heldout"][0]]
    nested += [*record["laws"][0], *record["extrapolation"][0], *record["asymptote"]]
    selector = record["selectors"]["weighted_majority:judge"]
    nested += [*selector, *selector["peak"], *selector["curve"][0]]
    assert [key for key in (*record, *nested) if key not in keys] == []


@pytest.mark.parametrize(
    ("n_samples", "n_correct", "options", "reason"),
    [
        ([20], [7], [], "1 problem(s)"),
        ([1] * 12, [0, 1] * 6, [], "one sample a problem"),
        ([9] * 12, [9] * 12, [], "always solved"),
        ([9] * 12, [0] * 12, [], "none of the 12 problems was ever solved"),
        ([9] * 12, [0, 5, 9] * 4, ["--fit-up-to", "1"], "only the mean success rate"),
    ],
    ids=["one problem", "one sample", "all solved", "none solved", "fit up to 1"],
)
def test_counts_that_bear_no_law_are_said_to(
    fit: Fit,
    tmp_path: Path,
    n_samples: list[int],
    n_correct: list[int],
    options: list[str],
    reason: str,
) -> None:
    path = counts_file(tmp_path, n_samples, n_correct)
    record = fit.json(path, *options)
    assert record["laws"] == [] and record["selected"] == "none"
    assert reason in record["reason"] and reason in record["saturation"]["reason"]
    assert record["saturation"]["n"] is None and record["asymptote"]["value"] is None
    assert all(p["prediction"] is None for p in record["extrapolation"])
    expected = sum(n_correct) / sum(n_samples)
    assert record["curve"][0]["estimate"] == pytest.approx(expected)
    text = fit.text(path, *options)
    assert "cannot tell: " in text and reason in " ".join(text.split())
    assert "beyond data" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("problem_id,n_samples,n_correct\na,4,5\n", "more right answers than samples"),
        ("problem_id,n_samples,n_correct\na,4,-1\n", "n_correct is not a count"),
        ("problem_id,n_samples,n_correct\na,4,2.5\n", "n_correct is not a count"),
        ("problem_id,n_samples,n_correct\na,4,2\nb,0,0\n", "a problem without samples"),
        ("problem_id,n_samples\na,4\n", "needs a column n_correct"),
        ("problem_id,n_samples,n_correct\na,4,1\na,4,2\n", "stands twice"),
        ("problem_id,n_samples,n_correct\n", "no rows"),
    ],
)
def test_a_broken_counts_file_is_refused(fit: Fit, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(text)
    assert message in fit.refusal(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--law", "betta"], "did you mean beta"),
        (["--law", "majority_mixture"], "there is no such law of these curves: coverage"),
        (["--law", "parscale"], "there is no such law"),
        (["--fit-up-to", "0"], "a whole number from 1 to 32"),
        (["--fit-up-to", "33"], "a whole number from 1 to 32"),
        (["--k", "0"], "above zero"),
        (["--k", "ten"], "--k must be a whole number"),
        (["--epsilon", "0"], "epsilon"),
        (["--epsilon", "1.5"], "epsilon"),
        (["--per", "week"], "sample or doubling"),
        (["--level", "1"], "level"),
        (["--seed", "-1"], "--seed"),
        (["--price", "1 USD"], "come together"),
        (["--price", "1 USD", "--worth", "5 s"], "not accepted here"),
        (["--price", "0.1", "--worth", "1 USD"], "no unit"),
        (["--price", "100 USD", "--worth", "1 USD"], "none pays"),
        (["--sample-set", "x"], "no such sample set"),
        (["--plot", "curve.pdf"], "PNG or an SVG"),
        (["--plot", "nowhere/curve.png"], "no such folder"),
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_refused_with_what_would_be_right(
    fit: Fit, counts: Path, options: list[str], message: str
) -> None:
    assert message in fit.refusal(counts, *options)


def test_a_missing_source_is_refused(fit: Fit, tmp_path: Path) -> None:
    assert "no such file" in fit.refusal(tmp_path / "counts.csv")
    assert "holds no pool" in fit.refusal(tmp_path)


def test_doubled_rows_are_refused(fit: Fit, tmp_path: Path) -> None:
    rows = sampled_rows()
    make_pool([*rows, rows[5]]).write(tmp_path / "p.parquet")
    message = fit.refusal(tmp_path / "p.parquet")
    assert "more than once" in message and "problem_id p0" in message


def test_a_pool_of_several_benchmarks_is_refused(fit: Fit, tmp_path: Path) -> None:
    lines = [{**row, "benchmark": "ab"[i % 2]} for i, row in enumerate(sampled_rows())]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "mixes benchmarks" in fit.refusal(path)


def test_a_pool_without_votes_or_with_an_empty_score_keeps_what_it_has(
    fit: Fit, tmp_path: Path
) -> None:
    rows = [{**row, "answer_class": None, "score.judge": float("nan")} for row in sampled_rows()]
    make_pool(rows).write(tmp_path / "p.parquet")
    record = fit.json(tmp_path / "p.parquet")
    assert set(record["curves"]) == {"best_of:logprob", "best_of:exact"}
    assert record["counts"]["n_abstained"] is None
    assert any("judge is missing throughout" in note for note in record["notes"])
    assert any("no answer classes" in note for note in record["notes"])


def test_one_of_several_sample_sets_must_be_named(fit: Fit, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    make_pool([*sampled_rows("cold"), *sampled_rows("hot", n=4, seed=1)]).write(path)
    message = fit.refusal(path)
    assert "cold (160 samples), hot (80 samples)" in message
    assert "cold" in fit.refusal(path, "--sample-set", "colt")
    record = fit.json(path, "--sample-set", "hot")
    assert (record["sample_set"], record["n_samples"]) == ("hot", 80)


def test_the_ends_of_a_search_are_refused_and_pass_by_beside_samples(
    fit: Fit, tmp_path: Path
) -> None:
    path = tmp_path / "p.parquet"

    def write(rows: list[dict[str, Any]]) -> None:
        Pool(make_pool(rows).table, {"searches": ["beam"]}).write(path)

    write(sampled_rows("beam"))
    assert "the ends of a search" in fit.refusal(path)
    write([*sampled_rows("beam"), *sampled_rows("samples", seed=1)])
    assert "the ends of a search" in fit.refusal(path, "--sample-set", "beam")
    assert fit.json(path)["sample_set"] == "samples"


def test_unequal_pools_end_their_curves_at_the_smallest(fit: Fit, tmp_path: Path) -> None:
    path = counts_file(tmp_path, [8, 16, 32] * 5, [0, 3, 20] * 5)
    record = fit.json(path)
    assert record["n_samples_per_problem"] == [8, 32]
    assert record["curve"][-1]["k"] == 8 and record["fitted_to"] == 32
    assert any("8 to 32 samples" in note for note in record["notes"])


def test_list_laws_names_every_law_with_its_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["list", "laws", "--json"], monkeypatch) == 0
    entries = json.loads(capsys.readouterr().out)
    assert list(entries) == law_names()
    assert all(entries.values())
    assert entries["exponentiated_power"] == "coverage(k) = exp(-A k^-B)"
