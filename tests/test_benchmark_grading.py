"""Grades: right, wrong, and ungradable only where nobody can tell; no answer stops the rest."""

import asyncio
import importlib.util
import random

import pytest
import reasoning_gym

from ttscale.benchmark.config import BenchmarkConfig, ReasoningGym, Regex
from ttscale.benchmark.generated import DECIMAL_TASKS, generate
from ttscale.benchmark.grading import Grade, Grader, grader
from ttscale.benchmark.item import Item
from ttscale.errors import InputError

MATH = BenchmarkConfig(path="sums.jsonl")


def item(reference, **metadata):
    return Item(f"item {reference}", "?", reference, metadata)


def graded(config, problem, answers, limit=5.0):
    """The verdicts, and how many workers they took."""

    async def main():
        async with Grader(config, time_limit_seconds=limit) as grader:
            grades = await grader.grade(problem, answers)
            return [grade.correct for grade in grades], len(grader.worker_pids)

    return asyncio.run(main())


def test_plain_numbers_need_no_worker():
    answers = ["72", "72.0", "$72$", r"\$72", "0072", "71", "-72", "144/2", None, "72"]
    verdicts, n_workers = graded(MATH, item("72"), answers)
    assert verdicts == [True, True, True, True, True, False, False, True, False, True]
    assert n_workers == 0


def test_every_grade_has_a_reason():
    async def main():
        async with Grader(MATH) as grader:
            return await grader.grade(item("7"), [None, "7", "8", "x" * 20_000])

    assert asyncio.run(main()) == [
        Grade(False, "no answer"),
        Grade(True, "equal"),
        Grade(False, "not equal"),
        Grade(None, "longer than 10000 characters"),
    ]


@pytest.fixture(scope="module")
def algebra():
    """Verdicts of one grader on (reference, answer), so that one worker serves many tests."""
    with asyncio.Runner() as runner:
        grader = runner.run(Grader(MATH, time_limit_seconds=1.0).__aenter__())

        def verdict(reference, answer):
            (grade,) = runner.run(grader.grade(item(reference), [answer]))
            return grade.correct

        verdict.grader, verdict.run = grader, runner.run
        yield verdict
        runner.run(grader.__aexit__())


@pytest.mark.parametrize(
    ("reference", "answer", "correct"),
    [
        (r"\frac{1}{2}", r"\frac{\sqrt{4}}{4}", True),
        (r"\frac12", "0.5", True),
        ("72", "72 dollars", True),
        ("72", "The answer is $72$", True),
        ("1000", "1{,}000", True),
        (r"3\sqrt{2}", r"\sqrt{18}", True),
        (r"3\sqrt{2}", "3*sqrt(2)", True),
        (r"3\sqrt{2}", r"2\sqrt{3}", False),
        ("x^2-1", "(x-1)(x+1)", True),
        ("x+1", "y+1", False),
        ("(3, 4)", r"\left(3,4\right)", True),
        ("(3, 4)", "(4, 3)", False),
        (r"\{1,2\}", r"\{2,1\}", True),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", True),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 3 \end{pmatrix}", False),
        (r"90^\circ", "90", True),
        (r"\text{Evelyn}", "Evelyn", True),
        ("x=5", "5", True),
        ("10", "2^3+2", True),
        ("8", "2**3", True),
        ("2", "1/0", False),
        ("72", "I do not know", False),
        ("72", "\x00", False),
        ("72", "\ud800", False),
        ("72", r"10^{10^{10}}", False),
        ("72", "9**9**9", False),
        ("72", "1000000!", False),
    ],
)
def test_mathematics_is_compared_by_value(algebra, reference, answer, correct):
    assert algebra(reference, answer) is correct


@pytest.mark.parametrize(
    "answer",
    [
        "9^{9^{9^{9}}}",
        "(x+1)^{100000}",
        r"\frac{1}{" * 45 + "2" + "}" * 45,
        r"\sqrt{" * 300 + "2" + "}" * 300,
        "7" * 1_000_000,
        r"\frac" * 200_000,
    ],
)
def test_hostile_answers_are_ungradable_and_the_next_is_graded(algebra, answer):
    assert algebra("72", answer) is None
    assert algebra("72", r"\sqrt{5184}") is True


def test_an_item_without_a_reference_is_ungradable(algebra):
    assert algebra(None, "72") is None


def test_same_is_symmetric_where_math_verify_is_not(algebra):
    def same(a, b):
        return algebra.run(algebra.grader.same(item("1"), a, b))

    assert same("x=5", "5") is same("5", "x=5") is True
    assert same("1 < x < 2", "(1,2)") is same("(1,2)", "1 < x < 2") is True
    assert same("x+1", "1+x") is True
    assert same("x", "y") is False
    assert same("x" * 20_000, "y") is None


def test_classes_of_mathematics(algebra):
    answers = ["1/2", "x+1", None, "0.5", "2", r"\frac{\sqrt{4}}{4}", "1+x", r"\frac{x^2-1}{x-1}",
               "1/2", "no solution", "2.0", "No solution."]  # fmt: skip
    expected = [0, 1, None, 0, 2, 0, 1, 1, 0, 3, 2, 3]
    assert algebra.run(algebra.grader.classes(answers)) == expected
    order = list(range(len(answers)))
    random.Random(1).shuffle(order)
    shuffled = algebra.run(algebra.grader.classes([answers[i] for i in order]))
    pairs = {(expected[i], found) for i, found in zip(order, shuffled, strict=True)}
    assert len(pairs) == len(set(expected))  # the same classes under other numbers


def test_classes_of_arithmetic_need_no_worker():
    async def main():
        async with Grader(MATH) as grader:
            found = await grader.classes([str(i % 50) for i in range(5000)] + [None, "7.0"])
            return found, grader.worker_pids

    found, pids = asyncio.run(main())
    assert found == [i % 50 for i in range(5000)] + [None, 7]
    assert pids == []


def test_exact_and_choice_need_no_worker():
    exact = BenchmarkConfig(path="a.csv", grader="exact")
    assert graded(exact, item("New York"), ["new  york.", "york"]) == ([True, False], 0)
    choice = BenchmarkConfig(path="a.csv", grader="choice")
    answers = ["B", "(b)", "Answer: B", "A", "neither", None]
    assert graded(choice, item("B"), answers) == ([True, True, True, False, False, False], 0)

    async def classes():
        async with Grader(choice) as grader:
            same = await grader.same(item("B"), "(B)", "b")
            return await grader.classes(["B", "(b)", None, "C", "b."]), same

    assert asyncio.run(classes()) == ([0, 0, None, 1, 0], True)


def generated(task, n=1, **params):
    given = {"task": task, "params": params}
    config = BenchmarkConfig(reasoning_gym=ReasoningGym(**given), size=n)
    return config, generate(task, params, 0, n)


@pytest.mark.parametrize("task", sorted(DECIMAL_TASKS))
def test_decimal_tasks_are_graded_as_their_scorer_would_without_a_worker(task):
    config, items = generated(task, 20)
    dataset = reasoning_gym.create_dataset(task, seed=0, size=20)
    rng = random.Random(0)
    for problem in items:
        right = int(problem.reference)
        answers = [f"{right + rng.choice([0, 0, 1])}{end}" for end in ("", ".0", ".5", " apples")]
        answers += [f"{right:,}", f"+{right}", f"00{right}", "x", "1e400", "NaN", "-", "9" * 250]
        verdicts, n_workers = graded(config, problem, answers)
        scores = [dataset.score_answer(a, problem.metadata["entry"]) >= 0.99 for a in answers]
        assert verdicts == scores
        assert n_workers == 0


def test_string_tasks_are_graded_by_their_string_without_a_worker():
    config, (problem,) = generated("gcd")
    assert problem.metadata["scoring"] == "string"
    answers = [problem.reference, f" {problem.reference}\n", f"{problem.reference}0", "x", None]
    assert graded(config, problem, answers) == ([True, True, False, False, False], 0)


def test_a_tasks_own_scorer_judges_in_a_worker_and_partial_credit_is_wrong():
    config, (problem,) = generated("countdown")
    entry = problem.metadata["entry"]
    assert graded(config, problem, [problem.reference]) == ([True], 0)
    other = f"0 + {problem.reference}".replace("0 + ", "(", 1) + ")"
    dataset = reasoning_gym.create_dataset("countdown", seed=0, size=1)
    assert dataset.score_answer(other, entry) == 1.0
    assert 0 < dataset.score_answer("1", entry) < 0.99
    verdicts, n_workers = graded(config, problem, [other, "1", "__import__('os')", None])
    assert verdicts == [True, False, False, False]
    assert n_workers == 1


def test_a_scorer_that_fails_leaves_the_answer_ungradable():
    config, (problem,) = generated("number_format")
    broken = Item(problem.id, "?", None, {**problem.metadata, "entry": {}})

    async def main():
        async with Grader(config) as grader:
            return await grader.grade(broken, ["1 + 1"])

    ((correct, reason),) = asyncio.run(main())
    assert correct is None
    assert "KeyError" in reason


def test_a_pattern_without_end_gives_no_answer():
    config = BenchmarkConfig(path="a.csv", extract=(Regex(regex="(a+)+b"), "last_number"))
    shipped = BenchmarkConfig(preset="gsm8k")

    async def main():
        async with Grader(config, time_limit_seconds=0.3) as grader:
            found = [await grader.extract(text) for text in ("xaab", "7", "a" * 64 + " 7")]
        async with Grader(shipped) as grader:
            return found, await grader.extract("#### 12"), grader.worker_pids

    assert asyncio.run(main()) == (["aa", "7", None], "12", [])


def test_a_missing_package_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "math_verify" else find(name)
    )

    async def main():
        async with Grader(MATH):
            pass

    with pytest.raises(InputError, match="math-verify"):
        asyncio.run(main())


def test_a_verdict_is_remembered_and_a_failure_is_not(monkeypatch):
    asked = []

    class Fake:
        def __init__(self, *_, **__):
            pass

        async def ask(self, job):
            asked.append(job)
            return grader.Reply(None, "died") if len(asked) == 1 else grader.Reply(True, None)

        async def close(self):
            pass

    monkeypatch.setattr(grader, "Processes", Fake)

    async def main():
        async with Grader(MATH) as grading:
            return [(await grading.grade(item("1"), ["x"]))[0].correct for _ in range(4)]

    assert asyncio.run(main()) == [None, True, True, True]
    assert len(asked) == 2
