"""Where questions come from: files, generators, hub datasets, and what is said when they do not."""

import asyncio
import csv
import json
import logging
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ttscale.benchmark.config import BenchmarkConfig, preset, preset_names
from ttscale.benchmark.grading import Grader
from ttscale.benchmark.source import load
from ttscale.errors import InputError

ROWS = [{"question": f"{i} + 1?", "answer": i + 1, "key": f"k{i}"} for i in range(10)]
GSM8K = Path(__file__).parents[1] / ".." / "shared" / "data" / "gsm8k_test.jsonl"


def write(path, rows=ROWS):
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".json":
            path.write_text(json.dumps(rows))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case ".csv":
            with path.open("w", newline="") as out:
                writer = csv.DictWriter(out, rows[0])
                writer.writeheader()
                writer.writerows(rows)


def loaded(folder, **given):
    return load(BenchmarkConfig.model_validate(given), folder=folder)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_every_kind_of_file_gives_the_same_items(tmp_path, ending):
    write(tmp_path / f"sums.{ending}")
    items = loaded(tmp_path, path=f"sums.{ending}")
    assert [item.id for item in items] == [f"sums-{i}" for i in range(10)]
    assert [item.question for item in items] == [row["question"] for row in ROWS]
    assert [item.reference for item in items] == [str(i + 1) for i in range(10)]


def test_an_absolute_path_ignores_the_folder(tmp_path):
    write(tmp_path / "sums.csv")
    assert len(loaded(Path("/nowhere"), path=str(tmp_path / "sums.csv"))) == 10


def test_ids_do_not_depend_on_the_subset(tmp_path):
    write(tmp_path / "sums.csv")
    everything = {item.id: item for item in loaded(tmp_path, path="sums.csv")}
    some = loaded(tmp_path, path="sums.csv", size=3, offset=2)
    assert [item.id for item in some] == ["sums-2", "sums-3", "sums-4"]
    drawn = loaded(tmp_path, path="sums.csv", size=4, shuffle=True, seed=5)
    again = loaded(tmp_path, path="sums.csv", size=4, shuffle=True, seed=5)
    rest = loaded(tmp_path, path="sums.csv", offset=4, shuffle=True, seed=5)
    assert drawn == again
    assert Counter(i.id for i in drawn + rest) == Counter(everything.keys())
    assert all(everything[item.id] == item for item in drawn + rest)
    assert drawn != loaded(tmp_path, path="sums.csv", size=4, shuffle=True, seed=6)


def test_given_ids_are_used_and_must_differ(tmp_path):
    write(tmp_path / "sums.json")
    assert loaded(tmp_path, path="sums.json", fields={"id": "key"})[3].id == "k3"
    write(tmp_path / "twice.json", [*ROWS, ROWS[0]])
    assert len(loaded(tmp_path, path="twice.json")) == 11  # duplicates in a file are kept
    with pytest.raises(InputError, match="same id"):
        loaded(tmp_path, path="twice.json", fields={"id": "key"})


def test_more_than_there_is_is_said_and_all_is_used(tmp_path, caplog):
    write(tmp_path / "sums.csv")
    with caplog.at_level(logging.WARNING):
        assert len(loaded(tmp_path, path="sums.csv", size=99)) == 10
    assert "99 were asked for" in caplog.text


CHOICES = [
    {"question": f"Which, {i}?", "right": "yes", "a": "no", "b": "maybe", "list": ["no", "yes"]}
    for i in range(40)
]


def test_choices_are_shuffled_by_seed_and_id_alone(tmp_path):
    write(tmp_path / "c.parquet", CHOICES)
    given = {
        "path": "c.parquet",
        "fields": {"answer": "right", "choices": ["right", "a", "b"]},
        "shuffle_choices": True,
        "grader": "choice",
    }
    items = loaded(tmp_path, **given)
    for item in items:
        shown = item.metadata["choices"]
        assert sorted(shown) == ["maybe", "no", "yes"]
        assert shown["ABC".index(item.reference)] == "yes"
    assert {item.reference for item in items} == {"A", "B", "C"}
    assert loaded(tmp_path, **given, offset=7, size=2) == items[7:9]
    assert loaded(tmp_path, **given, seed=1) != items


@pytest.mark.parametrize("answer", ["yes", "B", "1", 1])
def test_a_list_of_choices_keeps_its_order(tmp_path, answer):
    write(tmp_path / "c.json", [{**CHOICES[0], "right": answer}])
    (item,) = loaded(tmp_path, path="c.json", fields={"answer": "right", "choices": "list"})
    assert (item.reference, item.metadata["choices"]) == ("B", ("no", "yes"))


@pytest.mark.parametrize(
    ("name", "content", "given", "says"),
    [
        ("a.jsonl", None, {}, "not there"),
        ("a.txt", "x", {}, "ending"),
        ("a.jsonl", "", {}, "empty"),
        ("a.json", "[]", {}, "empty"),
        ("a.csv", "question,answer\n", {}, "empty"),
        ("a.jsonl", '{"question": "q", "answer": "a"}\n{"quest\n', {}, r"a\.jsonl:2"),
        ("a.jsonl", "[1]\n", {}, r"a\.jsonl:1"),
        ("a.json", "{}", {}, "no list"),
        ("a.json", "[" * 100_000, {}, "not JSON"),
        ("a.parquet", "nonsense", {}, "cannot be read"),
        ("a.jsonl", '{"problem": "q", "answer": "a"}', {}, "columns problem, answer"),
        ("a.csv", "question,answer\nq,a\n", {"fields": {"id": "nr"}}, "'nr'"),
        ("a.csv", "question,answer\n ,a\n", {}, "question is empty"),
        ("a.csv", "question,answer\nq,a\n", {"reference": "last_number"}, "finds nothing"),
        ("a.csv", "question,answer\nq,a\n", {"offset": 1}, "after the offset"),
        ("a.csv", "question,answer\nq,a\n", {"fields": {"choices": "answer"}}, "no list"),
        ("a.json", '[{"question": "q", "answer": "x", "c": ["y"]}]',
         {"fields": {"choices": "c"}}, "none of the choices"),
        ("a.json", '[{"question": "q", "answer": 3, "c": ["y"]}]',
         {"fields": {"choices": "c"}}, "none of the choices"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path, name, content, given, says):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says):
        loaded(tmp_path, path=name, **given)


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"a\.jsonl"):
        loaded(tmp_path, path="a.jsonl")


def test_the_gsm8k_preset_reads_the_published_file():
    if not GSM8K.exists():
        pytest.skip("the GSM8K test set is not beside this checkout")
    items = loaded(GSM8K.parent, preset="gsm8k", path=GSM8K.name)
    assert len(items) == 1319
    assert items[0].id == "gsm8k-0"
    assert all(item.reference.replace(",", "").lstrip("-").isdigit() for item in items)

    async def grades():
        async with Grader(BenchmarkConfig(preset="gsm8k", path=GSM8K.name)) as grader:
            for item in items:
                right = f"so it is \\boxed{{{item.reference}}}."
                answers = [
                    await grader.extract(right),
                    item.reference + ".0",
                    "0.5",
                ]
                assert [g.correct for g in await grader.grade(item, answers)] == [True, True, False]
            return grader.worker_pids

    assert asyncio.run(grades()) == []


def generator(**given):
    return {"reasoning_gym": {"task": "chain_sum", "params": given}}


SMALL = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}


def test_generated_problems_differ_and_keep_their_ids(tmp_path):
    items = loaded(tmp_path, **generator(**SMALL), size=60)
    assert len({item.question for item in items}) == len({item.id for item in items}) == 60
    assert items[0].id == "chain_sum-seed0-0"
    assert items[-1].id > "chain_sum-seed0-59"  # some were drawn twice and left out
    assert loaded(tmp_path, **generator(**SMALL), size=20, offset=40) == items[40:]
    assert loaded(tmp_path, **generator(**SMALL), size=60, seed=1000) != items


def test_a_generator_with_too_little_variety_says_how_much_it_has(tmp_path):
    given = {"reasoning_gym": {"task": "count_bits", "params": {"max_n": 4}}}
    with pytest.raises(InputError, match="only 4 different problems"):
        loaded(tmp_path, **given, size=5)
    assert len(loaded(tmp_path, **given, size=4)) == 4


@pytest.mark.parametrize(
    ("task", "params", "says"),
    [
        ("chain_sun", {}, "did you mean chain_sum"),
        ("chain_sum", {"min_term": 2}, "did you mean min_terms"),
        ("chain_sum", {"seed": 2}, "beside reasoning_gym"),
        ("chain_sum", {"min_terms": 0}, "must be positive"),
        ("chain_sum", {"min_terms": "two"}, "refuses its parameters"),
        ("composite", {}, "refuses its parameters"),
        ("composite", {"datasets": [{"nam": "gcd"}]}, "refuses its parameters"),
    ],
)
def test_what_a_generator_cannot_do_is_named(tmp_path, task, params, says):
    with pytest.raises(InputError, match=says):
        loaded(tmp_path, reasoning_gym={"task": task, "params": params})


def test_a_composite_of_generators(tmp_path):
    parts = [{"name": "gcd", "weight": 1.0}, {"name": "chain_sum", "weight": 1.0}]
    given = {"reasoning_gym": {"task": "composite", "params": {"datasets": parts}}}
    assert len(loaded(tmp_path, **given, size=5)) == 5


WITHOUT_PYCOSAT = """
import sys
sys.modules["pycosat"] = None  # as if it could not be built
from ttscale.benchmark.generated import generate
from ttscale.errors import InputError
assert len(generate("gcd", {}, 0, 2)) == 2
try:
    generate("zebra_puzzles", {}, 0, 1)
except InputError as error:
    print(error)
"""


def test_generators_work_without_pycosat_but_for_the_one_that_needs_it():
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", WITHOUT_PYCOSAT]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert "zebra_puzzles needs pycosat" in done.stdout, done.stderr


def hub_folder(path, name, split, rows):
    """A dataset in the hub's layout: a data file and the card that describes it."""
    path.mkdir()
    write(path / "data.jsonl", rows)
    files = f"data_files: [{{split: {split}, path: data.jsonl}}]"
    card = f"---\nconfigs:\n- config_name: {name or 'default'}\n  {files}\n---\n"
    (path / "README.md").write_text(card)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in preset_names()
        if preset(name).get("hub") and preset(name)["grader"] != "code"
    ],
)
def test_every_preset_reads_a_dataset_of_its_shape(tmp_path, hub_cache, name):
    fields, hub = preset(name)["fields"], preset(name)["hub"]
    columns = {
        fields["question"]: "What is six times seven?",
        fields["answer"]: "#### 42" if name == "gsm8k" else "42",
    }
    if "id" in fields:
        columns[fields["id"]] = "the-id"
    for i, column in enumerate(fields.get("choices", ())):
        columns.setdefault(column, f"wrong {i}")
    hub_folder(tmp_path / "set", hub.get("name"), hub["split"], [columns])
    (item,) = loaded(tmp_path, preset=name, hub={**hub, "path": str(tmp_path / "set")})
    assert item.question == "What is six times seven?"
    assert item.id == ("the-id" if "id" in fields else f"{name}-0")
    if name == "gpqa_diamond":
        assert item.metadata["choices"]["ABCD".index(item.reference)] == "42"
    else:
        assert item.reference == "42"


def test_a_hub_dataset_that_is_not_there_is_named(tmp_path, hub_cache, monkeypatch):
    hub_folder(tmp_path / "set", None, "test", ROWS)
    with pytest.raises(InputError, match="hub"):
        loaded(tmp_path, hub={"path": str(tmp_path / "set"), "split": "dev"})
    with pytest.raises(InputError, match="hub"):
        loaded(tmp_path, hub={"path": str(tmp_path / "no_such_set")})

    def unreachable(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(hub_cache, "load_dataset", unreachable)
    with pytest.raises(InputError, match="no network"):
        loaded(tmp_path, hub={"path": "me/mine"})
