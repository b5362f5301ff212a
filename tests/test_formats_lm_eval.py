"""What lm-evaluation-harness 0.4.13 wrote about a local endpoint, as pools."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.formats.endpoint import Reply
from tests.formats.found import CHOICE, FIRST, REPEATS, SECOND
from ttscale.errors import InputError
from ttscale.formats.imported import Choices
from ttscale.formats.importing import Import, import_files

STRICT = Choices(filter="strict")


def read(*files: Path, choices: Choices = STRICT) -> Import:
    return import_files("lm-eval", files, choices)


def reported(file: Path, name: str) -> float:
    """An accuracy as it stands in lm-eval's own results file."""
    (results,) = file.parent.glob("results_*.json")
    scores = json.loads(results.read_text())["results"]
    return float(next(iter(scores.values()))[name])


def rewritten(
    tmp_path: Path, file: Path, change: Callable[[dict[str, Any]], object], *, results: bool = True
) -> Path:
    """A copy of a samples file with every row changed."""
    copy = tmp_path / file.name
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        change(row)
    copy.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if results:
        for beside in file.parent.glob("results_*.json"):
            shutil.copy(beside, tmp_path)
    return copy


def test_the_accuracy_is_the_one_that_lm_eval_reports() -> None:
    done = read(FIRST, SECOND)
    there = [reported(file, "exact_match,strict") for file in (FIRST, SECOND)]
    assert there[0] != there[1]
    assert [each.here for each in done.imported.reported] == pytest.approx(there)
    counts = done.pool.counts()
    assert counts.n_samples.tolist() == [2] * 24
    assert counts.n_correct.sum() / 48 == pytest.approx(sum(there) / 2)
    assert done.pool.metadata["model"] == "stub-1"
    assert done.pool.metadata["benchmark"] == "sums_once"
    assert done.pool.metadata["imported"]["tool"] == "lm_eval 0.4.13"


@pytest.mark.parametrize("name", ["strict", "flexible"])
def test_every_repeat_is_a_sample_graded_as_lm_eval_grades_the_first(name: str) -> None:
    done = read(REPEATS, choices=Choices(filter=name))
    (first,) = done.imported.reported
    assert first.there == first.here == reported(REPEATS, f"exact_match,{name}")
    rows = done.pool.table.to_pylist()
    assert len(rows) == 24 * 4
    problems = [json.loads(line) for line in (REPEATS.parents[3] / "tasks/sums.jsonl").open()]
    for row in rows:
        problem = problems[int(row["problem_id"])]
        reply = Reply(f"{problem['a']} + {problem['b']}", row["sample_index"])
        assert row["response"] == reply.text
        marked = "####" in reply.text
        if name == "strict":
            assert (row["answer"] is not None) == marked
        if marked:
            assert row["correct"] == (str(problem["answer"]) in reply.text.replace(",", ""))
    assert done.pool.metadata["imported"]["left_out"] == {"rows of other filters": 48}


def test_repeats_graded_here_are_graded_as_lm_eval_grades_them_when_they_come_first() -> None:
    """The endpoint gave the second run, one response each, what it gave here as second repeat."""
    repeats = read(REPEATS).pool.table.to_pylist()
    for index, file in enumerate((FIRST, SECOND)):
        alone = read(file).pool.table.to_pylist()
        mine = [row for row in repeats if row["sample_index"] == index]
        for name in ("problem_id", "response", "answer", "correct"):
            assert [row[name] for row in mine] == [row[name] for row in alone]


def test_answers_vote_as_numbers_and_a_filter_that_finds_nothing_abstains() -> None:
    rows = read(REPEATS).pool.table.to_pylist()
    assert {row["answer"] for row in rows if row["problem_id"] == "0"} == {"13,901", "13901", None}
    assert len({row["answer_class"] for row in rows if row["problem_id"] == "0"}) == 2
    assert all((row["answer"] is None) == (row["answer_class"] is None) for row in rows)


def test_what_the_files_do_not_hold_is_no_column() -> None:
    columns = read(FIRST).pool.table.column_names
    assert not {"n_prompt_tokens", "n_generated_tokens", "finish_reason"} & set(columns)


def test_filters_are_chosen_and_votes_are_no_samples() -> None:
    with pytest.raises(InputError, match="several ways") as caught:
        read(REPEATS, choices=Choices())
    assert "maj@4" in str(caught.value) and "--filter strict" in str(caught.value)
    with pytest.raises(InputError, match="votes over the responses"):
        read(REPEATS, choices=Choices(filter="maj@4"))
    with pytest.raises(InputError, match="did you mean strict"):
        read(REPEATS, choices=Choices(filter="strikt"))
    assert read(FIRST, choices=Choices()).pool.table.num_rows == 24


def test_repeats_without_the_results_file_are_refused(tmp_path: Path) -> None:
    alone = rewritten(tmp_path, REPEATS, lambda row: None, results=False)
    with pytest.raises(InputError, match="4 responses and one verdict"):
        read(alone)


def test_a_filter_that_cannot_be_reproduced_leaves_the_graded_responses(tmp_path: Path) -> None:
    def change(row: dict[str, Any]) -> None:
        if row["filter"] == "strict" and row["doc_id"] == 2:
            row["exact_match"] = 1 - row["exact_match"]

    done = read(rewritten(tmp_path, REPEATS, change))
    assert len(done.pool) == 24
    assert done.imported.left_out["responses that lm-eval did not grade"] == 72
    assert any("could not be reproduced" in note for note in done.imported.notes)
    assert not done.imported.reported[0].agrees


def test_a_list_of_verdicts_is_one_for_each_response(tmp_path: Path) -> None:
    def change(row: dict[str, Any]) -> None:
        row["filtered_resps"] = [["7"] * 4]
        row["exact_match"] = [1, 0, 1, 1]

    done = read(rewritten(tmp_path, REPEATS, change))
    assert done.pool.counts().n_correct.tolist() == [3] * 24
    with pytest.raises(InputError, match="another number of verdicts"):
        read(rewritten(tmp_path, REPEATS, lambda row: row.update(exact_match=[1, 0])))


def test_several_metrics_need_a_choice(tmp_path: Path) -> None:
    two = rewritten(tmp_path, FIRST, lambda row: row.update(metrics=["exact_match", "f1"], f1=0.3))
    with pytest.raises(InputError, match="several metrics") as caught:
        read(two)
    assert "exact_match, f1" in str(caught.value)
    assert len(read(two, choices=Choices(metric="exact_match")).pool) == 24
    with pytest.raises(InputError, match="neither right") as caught:
        read(two, choices=Choices(metric="f1"))
    assert "--metric exact_match" in str(caught.value)


def test_likelihoods_are_refused() -> None:
    with pytest.raises(InputError, match="likelihoods of given texts"):
        read(CHOICE, choices=Choices())


def test_tasks_do_not_mix() -> None:
    with pytest.raises(InputError, match="different tasks"):
        read(FIRST, REPEATS)


def test_models_do_not_mix(tmp_path: Path) -> None:
    other = rewritten(tmp_path, SECOND, lambda row: None)
    (results,) = tmp_path.glob("results_*.json")
    results.write_text(results.read_text().replace('"model_name": "stub-1"', '"model_name": "x"'))
    with pytest.raises(InputError, match="different models"):
        read(FIRST, other)
    results.write_text("{")
    with pytest.raises(InputError, match="not JSON") as caught:
        read(other)
    assert results.name in str(caught.value)


def test_documents_do_not_mix(tmp_path: Path) -> None:
    other = tmp_path / "b.jsonl"
    text = SECOND.read_text().replace('"doc_hash": "', '"doc_hash": "x')
    other.write_text(text)
    with pytest.raises(InputError, match="one doc_id stands for different documents"):
        read(FIRST, other)


def test_samples_do_not_count_twice(tmp_path: Path) -> None:
    copy = tmp_path / "again.jsonl"
    shutil.copy(FIRST, copy)
    with pytest.raises(InputError, match="two files hold the same samples"):
        read(FIRST, copy)
    copy.write_text(FIRST.read_text() + SECOND.read_text())
    with pytest.raises(InputError, match="a document stands twice") as caught:
        read(copy)
    assert "again.jsonl:25, doc_id 0" in str(caught.value)


def test_missing_documents_are_said(tmp_path: Path) -> None:
    short = rewritten(tmp_path, FIRST, lambda row: None)
    short.write_text("".join(short.read_text().splitlines(keepends=True)[:20]))
    done = read(short)
    assert any("20 of the 24 documents" in note for note in done.imported.notes)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"doc_id": 0', ("this line is not JSON", ":1")),
        ("[1]", ("a line is one object",)),
        ('{"doc_id": 0, "metrics": ["acc"], "acc": 1}', ("no resps",)),
        ('{"doc_id": 0, "metrics": [], "resps": [["a"]]}', ("no metric says",)),
        ('{"metrics": ["acc"], "acc": 1, "resps": [["a"]]}', ("no doc_id",)),
        ("", ("no samples",)),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, line: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(line)
    with pytest.raises(InputError) as caught:
        read(path, choices=Choices())
    for word in words:
        assert word in str(caught.value)


def test_whole_responses_do_not_vote_until_answers_are_taken_out(tmp_path: Path) -> None:
    whole = rewritten(tmp_path, FIRST, lambda row: row.update(filtered_resps=row["resps"][0]))
    done = read(whole)
    assert "answer_class" not in done.pool.table.column_names
    assert any("--extract" in note for note in done.pool.metadata["imported"]["notes"])
    pool = read(whole, choices=Choices(filter="strict", extract="last_number")).pool
    assert pool.table["answer"].to_pylist()[0] == "13901"
    with pytest.raises(InputError, match="no such rule"):
        read(whole, choices=Choices(filter="strict", extract="last"))
    with pytest.raises(InputError, match="hold answers already"):
        read(FIRST, choices=Choices(extract="last_number"))
