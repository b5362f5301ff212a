"""`ttscale compare`: one JSON object, or tables; exit status 2 for what cannot be compared."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.test_compare import pool_rows
from ttscale import cli
from ttscale.record.pool import make_pool


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit status of the command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["ttscale", "compare", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.fixture
def pool(tmp_path: Path) -> str:
    path = tmp_path / "pool.parquet"
    make_pool(pool_rows(n_problems=15), {"benchmark": "sums", "simulated": True}).write(path)
    return str(path)


def test_json_has_the_promised_keys(
    pool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([pool, "--json", "--verifiers", "good, gate"], monkeypatch) == 0
    result = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in result["verifiers"]] == ["good", "gate"]
    for verifier in result["verifiers"]:
        keys = {"auroc", "curve", "efficiency", "turning_point", "cost_per_problem"}
        assert keys <= verifier.keys()
        assert {"k", "best_of", "weighted", "low", "high"} <= verifier["curve"][0].keys()
        assert {"k", "k_low", "k_high", "drop", "turns_down"} == verifier["turning_point"].keys()
    keys = {"a", "b", "k", "difference", "low", "high", "p_value"}
    assert all(keys <= pair.keys() for pair in result["pairs"])
    assert any("simulated" in note for note in result["notes"])


def test_tables_name_every_verifier_and_what_they_are_measured_against(
    pool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = ["--sample-cost", "2", "--unit", "cents", "--score-cost", "good=1"]
    assert run([pool, *costs, "--score-cost", "gate=1"], monkeypatch) == 0
    shown = capsys.readouterr().out
    for text in ("good", "noise", "logprob", "gate", "majority", "oracle", "simulated", "unknown",
                 "equal total cost", "ceiling of accuracy", "Note: "):  # fmt: skip
        assert text in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_of_many_differences_those_with_a_baseline_or_the_best_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, rows = tmp_path / "pool.parquet", pool_rows(n_problems=15)
    for i, row in enumerate(rows):
        for copy in "abc":
            row[f"score.{copy}"] = (i * 7919 + ord(copy)) % 13
    make_pool(rows, {"benchmark": "sums"}).write(path)
    assert run([str(path), "--json"], monkeypatch) == 0
    record = json.loads(capsys.readouterr().out)
    assert run([str(path)], monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Differences at k"))
    shown = lines[start + 2 : lines.index("", start)]
    assert f"({len(record['pairs']) - len(shown)} more in --json)" in lines[start]
    assert 0 < len(shown) < len(record["pairs"])
    assert sum(line.startswith("a ") for line in shown) < sum(
        line.startswith("good ") for line in shown
    )


def test_scores_from_jsonl_where_null_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = pool_rows(n_problems=15)
    found[0]["score.good"] = None
    path = tmp_path / "pool.jsonl"
    path.write_text("\n".join(map(json.dumps, found)))
    assert run([str(path), "--json", "--verifiers", "good"], monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["verifiers"][0]["n_missing"] == 1


@pytest.mark.parametrize(
    "arguments", [["--verifiers", "nobody"], ["--k", "99"], ["--unit", "usd"], ["--level", "95"]]
)
def test_what_is_wrong_is_said_with_status_2(
    pool: str,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([pool, *arguments, "--json"], monkeypatch) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("ttscale: ")
    assert not captured.out
