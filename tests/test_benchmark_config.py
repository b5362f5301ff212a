"""A benchmark's configuration: presets fill in, what is given overrides, mistakes are named."""

import pytest
from pydantic import ValidationError

from ttscale.benchmark.config import (
    BenchmarkConfig,
    PromptConfig,
    Regex,
    preset,
    preset_names,
    shipped_patterns,
)
from ttscale.errors import InputError

QUESTIONS = ("aime2024", "aime2025", "amc2023", "gpqa_diamond", "gsm8k", "math500")
CODE = ("humaneval", "mbpp")
GENERATED = ("sums",)


def test_the_presets_are_all_there():
    assert preset_names() == tuple(sorted([*QUESTIONS, *CODE, *GENERATED]))


@pytest.mark.parametrize("name", CODE)
def test_a_code_preset_is_run_and_not_compared(name):
    config = BenchmarkConfig(preset=name)
    assert config.hub is not None and config.grader == "code" and config.extract == "code"


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_preset_is_a_whole_benchmark(name):
    config = BenchmarkConfig(preset=name)
    assert config.name == name
    assert config.hub is not None
    assert config.hub.path.count("/") == 1
    assert config.prompt.template.startswith("{question}")
    assert config.grader == ("choice" if name == "gpqa_diamond" else "math")


@pytest.mark.parametrize(
    "given",
    [
        {"preset": "gsm8k", "path": "gsm8k_test.jsonl", "prompt": {"system": "Be brief."}},
        {"preset": "gpqa_diamond", "size": 7},
        {"reasoning_gym": {"task": "chain_sum", "params": {"min_terms": 2}}, "seed": 3},
        {"path": "a.csv", "extract": {"regex": "=(.*)"}},
    ],
)
def test_the_filled_in_configuration_describes_itself(given):
    config = BenchmarkConfig.model_validate(given)
    assert BenchmarkConfig.model_validate(config.model_dump()) == config
    assert BenchmarkConfig.model_validate(config.model_dump(mode="json")) == config
    assert BenchmarkConfig.model_validate_json(config.model_dump_json()) == config


def test_what_is_given_overrides_the_preset_field_by_field():
    plain = BenchmarkConfig(preset="gsm8k")
    config = BenchmarkConfig.model_validate(
        {
            "preset": "gsm8k",
            "extract": "last_number",
            "grader": "exact",
            "prompt": {"chat": False},
            "fields": {"question": "q"},
        }
    )
    assert (config.extract, config.grader, config.prompt.chat) == ("last_number", "exact", False)
    assert config.prompt.template == plain.prompt.template
    assert (config.fields.question, config.fields.answer) == ("q", "answer")
    assert config.hub == plain.hub


def test_a_preset_reads_a_local_file_or_another_dataset_instead():
    local = BenchmarkConfig.model_validate({"preset": "gsm8k", "path": "x.jsonl"})
    assert (local.hub, local.path) == (None, "x.jsonl")
    other = BenchmarkConfig.model_validate({"preset": "gsm8k", "hub": {"path": "me/mine"}})
    assert other.hub is not None
    assert (other.hub.path, other.hub.name) == ("me/mine", None)
    pinned = BenchmarkConfig.model_validate({"preset": "gsm8k", "hub": {"revision": "abc"}})
    assert pinned.hub is not None
    assert (pinned.hub.path, pinned.hub.revision) == ("openai/gsm8k", "abc")
    assert other.reference == Regex(regex=r"####\s*(.*)")


def test_a_generator_is_scored_by_itself_unless_told_otherwise():
    config = BenchmarkConfig.model_validate({"reasoning_gym": {"task": "gcd"}})
    assert (config.grader, config.name) == ("reasoning_gym", "gcd")
    given = {"reasoning_gym": {"task": "gcd"}, "grader": "math", "extract": "boxed"}
    config = BenchmarkConfig.model_validate(given)
    assert (config.grader, config.extract) == ("math", "boxed")


def test_names_come_from_the_source():
    assert BenchmarkConfig(path="folder/mine.jsonl").name == "mine"
    assert BenchmarkConfig.model_validate({"hub": {"path": "me/mine"}}).name == "mine"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"preset": "gsm9k"}, "did you mean gsm8k"),
        ({}, "exactly one source"),
        ({"path": "a.csv", "hub": {"path": "b"}}, "exactly one source"),
        ({"path": "a.csv", "reasoning_gym": {"task": "gcd"}}, "exactly one source"),
        ({"preset": "math500", "reasoning_gym": {"task": "gcd"}}, "source"),
        ({"path": "a.csv", "extract": "boxd"}, "did you mean boxed"),
        ({"path": "a.csv", "extract": ["boxed", "last_numbr"]}, "did you mean last_number"),
        ({"path": "a.csv", "extract": {"regex": "("}}, "does not compile"),
        ({"path": "a.csv", "reference": {"regex": "["}}, "does not compile"),
        ({"path": "a.csv", "grader": "reasoning_gym"}, "generated"),
        ({"path": "a.csv", "prompt": {"template": "{questoin}"}}, "{question}"),
        ({"path": "a.csv", "prompt": {"few_shot_template": "{question}"}}, "{answer}"),
        ({"path": "a.csv", "prompt": {"template": "{question} {choices}"}}, "choices"),
    ],
)
def test_mistakes_are_named(given, says):
    with pytest.raises(InputError, match=says):
        BenchmarkConfig.model_validate(given)


@pytest.mark.parametrize(
    "given",
    [
        {"path": "a.csv", "sise": 3},
        {"path": "a.csv", "size": 0},
        {"path": "a.csv", "size": "many"},
        {"path": "a.csv", "offset": -1},
        {"path": "a.csv", "grader": "maths"},
        {"path": "a.csv", "prompt": {"tempalte": ""}},
        {"path": "a.csv", "fields": {"answers": "a"}},
        {"hub": {"name": "main"}},
        {"preset": "gsm8k", "hub": 5},
        {"preset": "gsm8k", "prompt": "Q: {question}"},
        "gsm8k",
    ],
)
def test_unknown_keys_and_wrong_types_are_refused(given):
    with pytest.raises(ValidationError):
        BenchmarkConfig.model_validate(given)


def test_nothing_changes_once_made():
    with pytest.raises(ValidationError):
        PromptConfig().chat = False


def test_shipped_patterns_are_those_of_the_presets():
    rule = preset("gsm8k")["extract"]
    assert {part["regex"] for part in rule if isinstance(part, dict)} <= shipped_patterns()
