"""What a benchmark is, as data: source, field mapping, extraction, grader, prompt.

Validation touches no file of the user's; a preset's own file ships inside the package. What comes
out has every field filled in, so its dump describes the run without the preset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ttscale.engine.simulated.problems import BetaSuccess, Success
from ttscale.errors import InputError, closest

Plain = Literal["whole", "last_line", "last_number", "boxed", "choice", "code"]
GraderName = Literal["math", "exact", "choice", "reasoning_gym", "code"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Regex(_Frozen):
    """The last match of a pattern: its group 1, or all of it when it has no group."""

    regex: str

    @field_validator("regex")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise InputError(
                f"The regular expression does not compile: {error}.",
                where="regex",
                got=pattern,
                hint="Python's syntax; in YAML, put it in single quotes",
            ) from error
        return pattern


def _known(rule: Any) -> Any:
    """A misspelt rule is named here: pydantic would list every member of the union."""
    for part in rule if isinstance(rule, list | tuple) else [rule]:
        if isinstance(part, str) and part not in get_args(Plain):
            raise InputError(
                "There is no such extraction rule.",
                where="extract or reference",
                got=part,
                hint=f"{closest(part, get_args(Plain))} A pattern is written {{regex: '...'}}",
            )
    return rule


Rule = Annotated[Plain | Regex | tuple[Plain | Regex, ...], BeforeValidator(_known)]
"""How to find an answer in a text; a tuple is tried in order."""

GENERATED_EXTRACT = [{"regex": "<answer>([^<]*)</answer>"}, "boxed", "last_line"]
"""How a generated problem's answer is found by default: reasoning-gym's own tag first."""


class ReasoningGym(_Frozen):
    """A generator of `reasoning-gym`, with the parameters of its own config class."""

    task: str
    params: dict[str, Any] = {}


class Simulated(_Frozen):
    """Problems of known truth, for the simulated engine; see `ttscale.engine.simulated`."""

    success: Success = BetaSuccess()


class Sums(_Frozen):
    """Every sum of so many digits from 1 to 9, each once, in an order that the seed draws."""

    terms: int = Field(default=4, ge=2, le=6)


class Hub(_Frozen):
    """A dataset of the Hugging Face hub, or a local folder in its layout."""

    path: str
    name: str | None = None
    split: str = "test"
    revision: str | None = None


class CodeFields(_Frozen):
    """How the tests of programming problems are laid out; `Fields.answer` holds the tests.

    Attributes
    ----------
    function : column with the name of the function that is asked for; None if there is none.
    setup : column with what runs before every program: text, or a list of lines.
    visible : which tests may be used before grading: the 'examples' in the question, or the first
        so many of the answer column's list. All tests of that column decide.
    """

    function: str | None = None
    setup: str | None = None
    visible: Literal["examples"] | Annotated[int, Field(ge=0)] = 0


class Fields(_Frozen):
    """Which columns hold what.

    Attributes
    ----------
    question, answer : columns of the question and of the reference answer.
    id : column of the identifier; the row number when left out.
    choices : one column holding the list of choices, or the columns that hold one each. The answer
        column then holds the right choice's text, letter, or index from 0.
    code : for the grader `code`: where the tests are.
    """

    question: str = "question"
    answer: str = "answer"
    id: str | None = None
    choices: str | tuple[str, ...] | None = None
    code: CodeFields | None = None


class Shot(_Frozen):
    """A worked example: a question, the response wished for, and choices if there are any."""

    question: str
    answer: str
    choices: tuple[str, ...] = ()


class PromptConfig(_Frozen):
    """How a question becomes a prompt.

    Only `{question}`, `{choices}` (lettered, one a line), `{tests}` (the visible ones of a program)
    and, in `few_shot_template`, `{answer}` are fields; all other braces stand for themselves, so
    LaTeX needs no doubling.

    Attributes
    ----------
    chat : whether the model's chat template is used; otherwise the text is continued as it is.
    system : the system message, or the text at the head of a completion.
    template : one question, in the user's turn.
    few_shot : examples, as turns of a chat or through `few_shot_template`.
    few_shot_template : one example of a completion.
    stop : strings that end the response.
    """

    chat: bool = True
    system: str | None = None
    template: str = "{question}"
    few_shot: tuple[Shot, ...] = ()
    few_shot_template: str = "Question: {question}\nAnswer: {answer}\n\n"
    stop: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fields_stand_in_templates(self) -> Self:
        for name, needed in (
            ("template", ("question",)),
            ("few_shot_template", ("question", "answer")),
        ):
            for field in needed:
                if f"{{{field}}}" not in getattr(self, name):
                    raise InputError(
                        f"The prompt's {name} leaves the {field} out.",
                        where=f"prompt.{name}",
                        got=getattr(self, name),
                        hint=f"put {{{field}}} where it belongs",
                    )
        return self


class BenchmarkConfig(_Frozen):
    """A benchmark: exactly one source, and how its questions are put and graded.

    Attributes
    ----------
    preset : a published benchmark (see `preset_names`); it fills in whatever is not given. With
        `path` or `hub` beside it, the questions come from there instead.
    reasoning_gym, simulated, sums, path, hub : the source. A relative path is relative to the
        configuration's file.
    fields : which columns hold what (path and hub).
    reference : extraction rule for the answer column.
    size : how many problems; all when left out (500 for a generator, as reasoning-gym has it).
    offset : how many to leave out first, after shuffling. Sums with one seed and windows of offset
        and size that do not overlap have no question in common.
    seed : of the generator, of `shuffle` and of `shuffle_choices`. A generator's problem i with
        seed s is problem 0 with seed s + i, so sets that must not overlap need seeds far apart.
    shuffle : whether problems are drawn in random order.
    shuffle_choices : whether each problem's choices are put in random order, which depends only on
        the seed and the problem's id.
    grader : how an answer is compared with the reference.
    extract : extraction rule for responses.
    prompt : the template, examples and stop strings.
    """

    preset: str | None = None
    reasoning_gym: ReasoningGym | None = None
    simulated: Simulated | None = None
    sums: Sums | None = None
    path: str | None = None
    hub: Hub | None = None
    fields: Fields = Fields()
    reference: Rule = "whole"
    size: int | None = Field(default=None, ge=1)
    offset: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
    shuffle: bool = False
    shuffle_choices: bool = False
    grader: GraderName = "math"
    extract: Rule = ("boxed", "last_number")
    prompt: PromptConfig = PromptConfig()

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        """Put the preset's values, or a generator's defaults, under what was given."""
        if not isinstance(given, Mapping):
            return given
        given = {key: value for key, value in given.items() if value is not None}
        if isinstance(given.get("preset"), str):
            under = dict(preset(given["preset"]))
            if "path" in given:
                under.pop("hub", None)
        elif "simulated" in given:
            under = {"grader": "exact", "extract": {"regex": r"Answer: (\S+)"}}
        elif "reasoning_gym" in given:
            under = {"grader": "reasoning_gym", "extract": GENERATED_EXTRACT}
        else:
            return given
        for key in ("fields", "prompt", "hub"):
            part = given.get(key)
            # another dataset of the hub shares neither subset nor split with the preset's
            if isinstance(part, Mapping) and not (key == "hub" and "path" in part):
                under[key] = {**under.get(key, {}), **part}
                del given[key]
        return {**under, **given}

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        sources = [
            key
            for key in ("reasoning_gym", "simulated", "sums", "path", "hub")
            if getattr(self, key) is not None
        ]
        if len(sources) != 1:
            named = ", ".join(sources) if sources else "none"
            raise InputError(
                "A benchmark has exactly one source.",
                where="benchmark",
                got=named,
                hint="preset, reasoning_gym, sums, path or hub; "
                "only a preset may have one beside it",
            )
        if self.reasoning_gym is not None and self.preset is not None:
            raise InputError(
                "A preset is a dataset, reasoning_gym a generator: both cannot be the source.",
                where="benchmark",
                got=f"preset {self.preset}, reasoning_gym {self.reasoning_gym.task}",
            )
        if self.grader == "reasoning_gym" and self.reasoning_gym is None:
            raise InputError(
                "Only a generated problem can be scored by reasoning-gym.",
                where="benchmark.grader",
                got=self.grader,
                hint="math, exact or choice",
            )
        if (self.grader == "code") != (self.fields.code is not None):
            raise InputError(
                "The grader `code` and the field mapping `code` belong together.",
                where="benchmark.fields.code",
                got=f"grader {self.grader}, fields.code {self.fields.code}",
                hint="grader: code, and fields: {answer: TESTS, code: {visible: 1}}",
            )
        if "{tests}" in self.prompt.template and self.fields.code is None:
            raise InputError(
                "The prompt shows tests, but no column is said to hold them.",
                where="benchmark.fields.code",
                hint="fields: {answer: TESTS, code: {visible: 1}}",
            )
        if "{choices}" in self.prompt.template and self.fields.choices is None:
            raise InputError(
                "The prompt shows choices, but no column holds them.",
                where="benchmark.fields.choices",
                hint="name the column of the choices, or the columns that hold one each",
            )
        return self

    @property
    def name(self) -> str:
        """A short name: the preset, the task, the file's stem, or the dataset's last part."""
        if self.preset is not None:
            return self.preset
        if self.reasoning_gym is not None:
            return self.reasoning_gym.task
        if self.simulated is not None:
            return "simulated"
        if self.sums is not None:
            return f"sums{self.sums.terms}"
        if self.path is not None:
            return PurePath(self.path).stem
        assert self.hub is not None, "a validated benchmark has a source"
        return PurePath(self.hub.path).name


def preset_names() -> tuple[str, ...]:
    """The benchmarks that come with the package."""
    folder = files("ttscale") / "configs" / "benchmarks"
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml")))


@lru_cache(maxsize=16)
def preset(name: str) -> Mapping[str, Any]:
    """A preset's fields, as its file under configs/benchmarks has them.

    Raises
    ------
    InputError : there is none of that name.
    """
    if name not in preset_names():
        raise InputError(
            "There is no such benchmark preset.",
            where="benchmark.preset",
            got=name,
            hint=closest(name, preset_names()),
        )
    file = files("ttscale") / "configs" / "benchmarks" / f"{name}.yaml"
    fields: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return fields


@lru_cache(maxsize=1)
def shipped_patterns() -> frozenset[str]:
    """The patterns of the presets and defaults; their time is linear in the text's length."""
    rules = [GENERATED_EXTRACT, *(preset(name).get("extract", ()) for name in preset_names())]
    parts = [part for rule in rules if isinstance(rule, list) for part in rule]
    return frozenset(part["regex"] for part in parts if isinstance(part, Mapping))
