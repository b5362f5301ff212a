"""Programs graded, put into classes, scored by tests and by each other's tests: for real."""

from __future__ import annotations

import asyncio
import json
import math
from itertools import combinations
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

from tests.test_code_program import HUMANEVAL, MBPP
from ttscale import registry
from ttscale.benchmark import sandbox
from ttscale.benchmark.config import BenchmarkConfig
from ttscale.benchmark.grading import Grade, Grader
from ttscale.benchmark.grading.suites import Suite, run_suite, vote_accuracy, votes
from ttscale.benchmark.sandbox import outside, walls
from ttscale.benchmark.source import load
from ttscale.errors import InputError
from ttscale.trace import Path, Problem

REFUSAL = sandbox.refusal()
sandboxed = pytest.mark.skipif(REFUSAL is not None, reason=f"no sandbox here: {REFUSAL}")

RIGHT = "def double(x):\n    return 2 * x"
ALSO = "def double(number):\n    # add it to itself\n    return number + number"
SQUARE = "def double(x):\n    return x ** 2 if x != 1 else 2"
BROKEN = "def double(x) return x"
SLOW = "def double(x):\n    while True: pass"


def benchmark(folder: FilePath, preset: str, row: dict[str, Any]) -> tuple[BenchmarkConfig, Any]:
    path = folder / f"{preset}.jsonl"
    path.write_text(json.dumps(row))
    config = BenchmarkConfig.model_validate({"preset": preset, "path": str(path)})
    return config, load(config, folder=folder)[0]


def graded(config, item, answers) -> list[Grade]:
    async def main() -> list[Grade]:
        async with Grader(config, time_limit_seconds=1) as grader:
            return await grader.grade(item, answers)

    return asyncio.run(main())


@sandboxed
def test_humaneval_and_mbpp_are_graded_by_all_their_tests(tmp_path):
    config, item = benchmark(tmp_path, "humaneval", HUMANEVAL)
    answers = ["    return 2 * x", RIGHT, SQUARE, BROKEN, "    return None", None]
    grades = graded(config, item, answers)
    assert [grade.correct for grade in grades] == [True, True, False, False, False, False]
    assert grades[3].reason.startswith("failed: SyntaxError")
    config, item = benchmark(tmp_path, "mbpp", MBPP)
    assert [g.correct for g in graded(config, item, [RIGHT, SQUARE])] == [True, True]
    harder = {**MBPP, "test_list": [*MBPP["test_list"], "assert double(3) == 6"]}
    config, item = benchmark(tmp_path, "mbpp", harder)
    assert [g.correct for g in graded(config, item, [RIGHT, SQUARE])] == [True, False]


@sandboxed
def test_ends_are_counted(tmp_path):
    config, item = benchmark(tmp_path, "mbpp", MBPP)

    async def main():
        async with Grader(config, time_limit_seconds=1) as grader:
            answers = [RIGHT, SQUARE, SLOW, BROKEN, "import os\nos._exit(0)", "x = [0] * (1 << 40)"]
            grades = await grader.grade(item, answers)
            return grades, dict(grader.outcomes)

    grades, outcomes = asyncio.run(main())
    assert [grade.correct for grade in grades] == [True, True, False, False, False, False]
    assert outcomes == {"passed": 2, "timeout": 1, "failed": 1, "crashed": 1, "memory": 1}
    assert grades[2].reason == "timeout: 1 s of processor time"


@sandboxed
def test_a_sandbox_that_fails_under_a_program_leaves_it_ungraded(tmp_path, monkeypatch):
    config, item = benchmark(tmp_path, "mbpp", MBPP)
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'no more processes' >&2\nexit 1")
    broken.chmod(0o755)
    monkeypatch.setattr(walls, "find", lambda: str(broken))
    (grade,) = graded(config, item, [RIGHT])
    assert grade == Grade(None, "refused: no more processes")


def test_without_a_sandbox_the_grader_does_not_open(tmp_path, monkeypatch):
    config, item = benchmark(tmp_path, "mbpp", MBPP)
    monkeypatch.setattr(outside, "refusal", lambda: "bubblewrap is not installed")
    with pytest.raises(InputError, match="sandbox only"):
        graded(config, item, [RIGHT])


@sandboxed
def test_programs_with_the_same_outputs_are_one_answer(tmp_path):
    """Square and double agree on what can be seen of MBPP's row, and differ on HumanEval's."""
    config, item = benchmark(tmp_path, "mbpp", MBPP)
    other = "def double(x):\n    return 3"

    async def classes(config, item, answers):
        async with Grader(config, time_limit_seconds=1) as grader:
            same = await grader.same(item, RIGHT, ALSO)
            return await grader.classes(answers, item), same

    answers = [
        RIGHT,
        None,
        ALSO,
        BROKEN,
        other,
        SQUARE,
        BROKEN + "!",
        BROKEN,
        "def double(x):\n    return 2.0",
    ]
    numbers, same = asyncio.run(classes(config, item, answers))
    assert numbers == [0, None, 0, 1, 2, 0, 3, 1, 0]
    assert same is True
    row = {
        **HUMANEVAL,
        "prompt": HUMANEVAL["prompt"].replace("double(2)\n    4", "double(5)\n    10"),
    }
    config, item = benchmark(tmp_path, "humaneval", row)
    numbers, _ = asyncio.run(classes(config, item, [RIGHT, SQUARE, ALSO]))
    assert numbers == [0, 1, 0]


class Door:
    """As much of a context as the verifier touches."""

    def answer(self, path: Path) -> str | None:
        return None if path.text == "nothing" else path.text.split("---")[0].strip("\n") or None


def scored(item, texts, **fields) -> list[float]:
    verifier = registry.load("verifiers", "code_tests")(**{"seconds": 1, **fields})
    root = Path(np.zeros(0, dtype=np.int32), item.question)
    problem = Problem(item.id, item.question, root, item.reference, item.metadata)
    paths = [Path(root.token_ids, text, root, "stop", depth=1) for text in texts]
    return list(asyncio.run(verifier(problem, paths, Door())))


@sandboxed
def test_code_tests_scores_by_what_is_visible(tmp_path):
    row = {
        **HUMANEVAL,
        "prompt": HUMANEVAL["prompt"].replace("double(2)\n    4", "double(5)\n    10"),
    }
    _, item = benchmark(tmp_path, "humaneval", row)
    scores = scored(item, [RIGHT, SQUARE, BROKEN, "nothing", "    return 2 * x"])
    assert scores[:3] == [1.0, 0.5, 0.0]
    assert math.isnan(scores[3]) and scores[4] == 1.0
    _, item = benchmark(tmp_path, "mbpp", MBPP)
    liar = "def double(x):\n    return 2"
    assert scored(item, [liar]) == [1.0], "the hidden tests are not looked at"


@sandboxed
def test_code_tests_votes_by_the_tests_in_the_responses(tmp_path):
    _, item = benchmark(tmp_path, "humaneval", HUMANEVAL)
    responses = [
        f"{RIGHT}\n---\nassert double(3) == 6\nassert double(4) == 8",
        f"{SQUARE}\n---\nassert double(3) == 9",
        f"{BROKEN}\n---\nassert double(5) == 10",
        "nothing",
    ]
    scores = scored(item, responses, suite="generated")
    assert scores[:3] == [3 / 4, 1 / 4, 0.0]
    assert math.isnan(scores[3])
    assert all(map(math.isnan, scored(item, [RIGHT, SQUARE], suite="generated")))


def test_a_problem_without_tests_is_not_scored_and_needs_no_sandbox(tmp_path, monkeypatch):
    monkeypatch.setattr(outside, "refusal", lambda: "bubblewrap is not installed")
    _, item = benchmark(tmp_path, "humaneval", {**HUMANEVAL, "prompt": "def double(x):\n"})
    assert all(map(math.isnan, scored(item, [RIGHT])))
    _, item = benchmark(tmp_path, "humaneval", HUMANEVAL)
    with pytest.raises(InputError, match="apt install bubblewrap"):
        scored(item, [RIGHT])
    with pytest.raises(InputError, match="apt install bubblewrap"):
        scored(item, [f"{RIGHT}\n---\nassert double(3) == 6"], suite="generated")


# votes


@sandboxed
def test_every_test_runs_on_every_program():
    programs = [["x = 1"], ["x = 2"], None]
    tests = [["assert x == 1", "assert x > 0"], ["assert x > 0"], []]
    suite = asyncio.run(run_suite(programs, tests))
    assert suite.passed.tolist() == [[True, True, True], [False, True, True], [False] * 3]
    assert suite.authors.tolist() == [0, 0, 1]


def random_suite(seed: int, n: int = 6) -> tuple[Suite, list[bool]]:
    rng = np.random.default_rng(seed)
    authors = np.repeat(np.arange(n), rng.integers(0, 4, size=n))
    return Suite(rng.random((n, len(authors))) < 0.5, authors), list(rng.random(n) < 0.4)


def test_votes_of_a_subset_count_its_own_tests_only():
    suite = Suite(np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=bool), np.array([0, 1, 2]))
    assert votes(suite).tolist() == [2, 2, 3]
    assert votes(suite, [0, 1]).tolist() == [2, 1]
    assert votes(suite, [2, 0]).tolist() == [2, 1]
    assert votes(suite, [1]).tolist() == [1]


@pytest.mark.parametrize("seed", range(5))
def test_vote_accuracy_is_the_mean_over_subsets(seed):
    suite, correct = random_suite(seed)
    rng = np.random.default_rng(0)
    for k in (1, 3, 6):
        expected = []
        for subset in combinations(range(6), k):
            tally = {
                i: sum(bool(suite.passed[i, t]) for t, a in enumerate(suite.authors) if a in subset)
                for i in subset
            }
            top = [correct[i] for i in subset if tally[i] == max(tally.values())]
            expected.append(sum(top) / len(top))
        assert vote_accuracy(suite, correct, k, rng) == pytest.approx(np.mean(expected))
    assert vote_accuracy(suite, correct, 1, rng) == pytest.approx(np.mean(correct))


def test_vote_accuracy_by_sampling_agrees_with_all_subsets():
    suite, correct = random_suite(3, n=12)
    rng = np.random.default_rng(1)
    exact = vote_accuracy(suite, correct, 4, rng, n_draws=1000)
    sampled = [vote_accuracy(suite, correct, 4, rng, n_draws=400) for _ in range(10)]
    error = np.std(sampled, ddof=1) / math.sqrt(len(sampled))
    assert abs(np.mean(sampled) - exact) < 5 * error + 1e-12
