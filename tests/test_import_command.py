"""`ttscale import`, and what fit, plan and compare make of an imported pool."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.formats.found import EVAL, FIRST, REPEATS, SECOND
from tests.test_run import in_process
from ttscale.record.pool import read_pool


def ok(*words: str | Path) -> str:
    done = in_process(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*words: str | Path) -> str:
    done: subprocess.CompletedProcess[str] = in_process(*words)
    assert done.returncode == 2 and not done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one pool of lm-eval's samples and one of inspect's."""
    folder = tmp_path_factory.mktemp("pools")
    ok("import", "lm-eval", REPEATS, "--filter", "strict", "--out", folder / "lm.parquet")
    ok("import", "inspect", EVAL, "--metric", "match", "--out", folder / "inspect.jsonl")
    return folder


def test_it_says_what_was_imported(tmp_path: Path) -> None:
    out = tmp_path / "p.parquet"
    said = ok("import", "lm-eval", FIRST, SECOND, "--out", out)
    for words in ("stub-1 on sums_once, 24 problems × 2 samples, imported", "accuracy 0.4792",
                  "reported: 0.4167 of 24 samples", "reported: 0.5417", "the same here",
                  "missing: n_generated_tokens, for budgets in tokens"):  # fmt: skip
        assert words in said
    record = json.loads(ok("import", "lm-eval", FIRST, SECOND, "--out", out, "--json"))
    assert record["accuracy"] == pytest.approx(23 / 48)
    assert [each["agrees"] for each in record["reported"]] == [True, True]
    assert record["n_samples"] == len(read_pool(out)) == 48


def test_names_that_the_files_do_not_say(tmp_path: Path) -> None:
    out = tmp_path / "p.parquet"
    ok("import", "lm-eval", FIRST, "--out", out, "--model", "m", "--benchmark", "b")
    assert {"model": "m", "benchmark": "b"}.items() <= read_pool(out).metadata.items()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("lmeval", FIRST, "--out", "p.parquet"), "did you mean lm-eval"),
        (("lm-eval", "nowhere.jsonl", "--out", "p.parquet"), "there is no such file"),
        (("lm-eval", FIRST, "--out", "p.csv"), "p.parquet"),
        (("lm-eval", FIRST, "--out", "no/such/p.parquet"), "no such folder"),
        (("lm-eval", FIRST, "--out", "p.parquet", "--map", "correct=a"), "--map says nothing"),
        (("table", FIRST, "correct=a", "--out", "p.parquet"), "--map correct=a"),
    ],
)
def test_bad_calls_get_one_message(
    words: tuple[str | Path, ...], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hint in refused("import", *words)
    assert not list(tmp_path.iterdir())


def test_fit_says_where_the_samples_are_from(pools: Path) -> None:
    assert "IMPORTED: these samples were written by lm_eval 0.4.13" in ok(
        "fit", pools / "lm.parquet", "--n-bootstrap", "0"
    )
    record = json.loads(ok("fit", pools / "inspect.jsonl", "--n-bootstrap", "0", "--json"))
    assert record["imported"] == "inspect_ai 0.3.285"
    assert record["counts"]["n_truncated"] > 0
    assert "majority" in record["curves"]


def test_plan_needs_what_its_budget_is_in(pools: Path) -> None:
    lm, inspect = pools / "lm.parquet", pools / "inspect.jsonl"
    assert "[samples] (imported)" in ok("plan", lm, "--budget", "3 samples")
    for budget in ("100 tokens", "1e12 FLOPs"):
        assert "needs the tokens of every sample" in refused("plan", lm, "--budget", budget)
    plan: dict[str, Any] = json.loads(ok("plan", inspect, "--budget", "40 tokens", "--json"))
    assert plan["recommendation"]["imported"] is True
    assert any("imported from inspect_ai" in note for note in plan["notes"])
    assert "no architecture is known" in refused("plan", inspect, "--budget", "1e12 FLOPs")
    priced = ("--budget", "1e13 FLOPs", "--model", "qwen3-0.6b", "--json")
    assert json.loads(ok("plan", inspect, *priced))["recommendation"]["cost"] > 0
    assert "no problem in common" in refused("plan", lm, inspect, "--budget", "3 samples")


def test_compare_needs_scores(pools: Path, tmp_path: Path) -> None:
    assert "there are no scores to compare" in refused("compare", pools / "lm.parquet")
    rows = [
        {"id": f"q{i}", "ok": (i + j) % 3 == 0, "reward": (i * 7 + j * 5) % 11, "text": str(j % 2)}
        for i in range(20)
        for j in range(4)
    ]
    table = tmp_path / "t.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "p.parquet"
    pairs = "problem_id=id correct=ok score.rm=reward answer=text"
    ok("import", "table", table, "--map", pairs, "--out", out)
    record = json.loads(ok("compare", out, "--unit", "samples", "--sample-cost", "1", "--json"))
    assert record["pools"][0]["imported"] == "table"
    assert any("imported from table" in note for note in record["notes"])


def test_hostile_lines_are_shown_as_text(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"problem_id": "\x1b[2J\u202e' + "x" * 1_000_000)
    said = refused("import", "table", path, "--out", tmp_path / "p.parquet")
    assert "\x1b" not in said and "\u202e" not in said and len(said) < 1_000
