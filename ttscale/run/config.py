"""An experiment as data: YAML in, checked, every field filled in.

Validation does no I/O beyond the configuration's own files. Every complaint names the file, the
key, what was found there, and what would be right.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ttscale.benchmark.config import BenchmarkConfig
from ttscale.context import PARAGRAPH
from ttscale.engine.openai import TRANSPORT, OpenAIConfig, OpenAIRewardConfig
from ttscale.engine.protocol import Engine, Sampling, Scorer
from ttscale.engine.reward import RewardConfig
from ttscale.engine.simulated import SimulatedConfig, SimulatedRewardConfig
from ttscale.engine.vllm import VLLMConfig
from ttscale.errors import InputError, closest
from ttscale.run.attention import policy_name
from ttscale.strategy import Until

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class SamplingConfig(_Frozen):
    """Sampling parameters of the experiment; `max_tokens` bounds a whole response."""

    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    min_p: float = Field(default=0.0, ge=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0)
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    max_tokens: int = Field(default=512, ge=1)
    min_tokens: int = Field(default=0, ge=0)
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    top_logprobs: int = Field(
        default=0, ge=0, le=20, description="likeliest tokens that a token's confidence is over"
    )

    def sampling(self, stop: Sequence[str] = ()) -> Sampling:
        """As the engine protocol has it, with the prompt's stop strings added."""
        fields = self.model_dump()
        fields["stop"] = tuple(dict.fromkeys([*stop, *self.stop]))
        return Sampling(**fields)


class BudgetConfig(_Frozen):
    """What one strategy may spend on one problem."""

    generated_tokens: int | None = Field(default=None, ge=1)


class StepConfig(_Frozen):
    """Where a step ends: at one of `text`, after `tokens`, or at a match of `pattern`."""

    text: tuple[str, ...] = ()
    tokens: int | None = Field(default=None, ge=1)
    pattern: str | None = None

    @field_validator("text", mode="before")
    @classmethod
    def _listed(cls, text: Any) -> Any:
        return (text,) if isinstance(text, str) else text

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"the regular expression does not compile: {error}") from error
        return pattern

    def until(self) -> Until:
        """As the step protocol has it: a paragraph if nothing is set."""
        if not self.text and self.tokens is None and self.pattern is None:
            return PARAGRAPH
        return Until(self.text, self.tokens, self.pattern)


class RayConfig(_Frozen):
    """What `ttscale run --ray` asks of a cluster: so many workers, and for each of them so much."""

    workers: int = Field(default=1, ge=1, description="processes with an engine of their own")
    cpus: float = Field(default=1.0, ge=0, description="cores of a worker; fractions are allowed")
    gpus: float = Field(default=0.0, ge=0, description="GPUs of a worker; fractions are allowed")
    resources: dict[str, float] = Field(
        default_factory=dict, description="what else the cluster names, such as accelerator types"
    )
    wait_seconds: float = Field(
        default=60.0, gt=0, description="time that a cluster has to make room for a first worker"
    )


class RunConfig(_Frozen):
    """How the work is done; nothing here changes a result."""

    concurrency: int = Field(
        default=256, ge=1, description="problems in flight at once, with each engine"
    )
    graders: int = Field(default=1, ge=1, description="grading processes")
    grade_seconds: float = Field(default=5.0, gt=0, description="time limit of one grading")
    ray: RayConfig = RayConfig()


GeneratorConfig = Annotated[
    VLLMConfig | OpenAIConfig | SimulatedConfig, Field(discriminator="engine")
]
OtherConfig = Annotated[
    VLLMConfig
    | OpenAIConfig
    | SimulatedConfig
    | RewardConfig
    | OpenAIRewardConfig
    | SimulatedRewardConfig,
    Field(discriminator="engine"),
]


class ExperimentConfig(_Frozen):
    """A model, a benchmark, and the strategies to run on it.

    `models` are further ones by the names that plug-ins call them: reward models, and models that
    generate, such as a judge. `attention` is what decoding attends to, for all strategies that do
    not name their own.
    """

    name: str = Field(pattern=r"^[\w][\w.-]*$")
    seed: int = Field(default=0, ge=0)
    model: GeneratorConfig
    models: dict[str, OtherConfig] = Field(default_factory=dict)
    benchmark: BenchmarkConfig
    sampling: SamplingConfig = SamplingConfig()
    attention: str = "dense"
    step: StepConfig = StepConfig()
    strategies: tuple[dict[str, Any], ...] = Field(min_length=1)
    budget: BudgetConfig = BudgetConfig()
    run: RunConfig = RunConfig()

    @field_validator("attention", mode="before")
    @classmethod
    def _policy(cls, given: Any) -> str:
        return policy_name(given, "attention")


class Experiment(NamedTuple):
    """A checked configuration, where it came from, and its hash."""

    config: ExperimentConfig
    folder: FilePath
    source: str
    hash: str


def load(path: FilePath, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment's YAML file.

    Parameters
    ----------
    path : the file.
    overrides : `key=value` with dots into mappings and numbers into lists; the value is YAML.

    Raises InputError.
    """
    given = parse(_read(path), str(path))
    given.setdefault("name", path.stem)
    return resolve(given, overrides, where=str(path), folder=path.resolve().parent)


def resolve(
    given: dict[str, Any], overrides: Sequence[str] = (), *, where: str, folder: FilePath
) -> Experiment:
    """Check an experiment given as plain values, and fill in every field.

    Parameters
    ----------
    given : what the YAML holds; changed on the way.
    overrides : as for `load`.
    where : how complaints call it.
    folder : what its relative paths are relative to.

    Raises InputError.
    """
    given.pop("hash", None)
    for override in overrides:
        _override(given, override)
    given["model"] = _model(given.get("model", {}), where)
    given["models"] = _models(given.get("models") or {}, where)
    given["strategies"] = _strategies(given.get("strategies"), where)
    config = _validate(given, where)
    return Experiment(config, folder, where, digest(config))


def digest(config: ExperimentConfig) -> str:
    """Hash of everything that can change a result.

    That is all but the name, the `run` section, and how endpoints are reached.
    """
    fields = config.model_dump(mode="json", exclude={"run", "name"})
    for model in (fields["model"], *fields["models"].values()):
        if model["engine"] in {"openai", "openai_reward"}:
            for key in TRANSPORT:
                del model[key]
    if fields["attention"] == "dense":
        del fields["attention"]  # younger than runs that are to be resumed
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def dump(experiment: Experiment) -> str:
    """The resolved configuration as YAML, its hash first; `load` reads it back."""
    fields = {"hash": experiment.hash, **experiment.config.model_dump(mode="json")}
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=100)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ between two resolved configurations."""
    keys = []
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            keys += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            keys.append(f"{prefix}{key}")
    return keys


def make_engine(
    config: VLLMConfig | OpenAIConfig | SimulatedConfig, log: FilePath | None = None
) -> Engine:
    """The engine a model section describes, not yet started."""
    if isinstance(config, OpenAIConfig):
        from ttscale.engine.openai.engine import OpenAIEngine

        return OpenAIEngine(config, log)
    if isinstance(config, VLLMConfig):
        from ttscale.engine.vllm import VLLMEngine

        return VLLMEngine(config, log)
    from ttscale.engine.simulated import SimulatedEngine

    return SimulatedEngine(config)


def make_scorer(
    config: RewardConfig | OpenAIRewardConfig | SimulatedRewardConfig,
    log: FilePath | None = None,
) -> Scorer:
    """The reward model a section of `models` describes, not yet started."""
    if isinstance(config, OpenAIRewardConfig):
        from ttscale.engine.openai.scorer import OpenAIScorer

        return OpenAIScorer(config, log)
    if isinstance(config, RewardConfig):
        from ttscale.engine.reward import RewardEngine

        return RewardEngine(config, log)
    from ttscale.engine.simulated import SimulatedScorer

    return SimulatedScorer(config)


def model_names() -> list[str]:
    """The models that come with a configuration."""
    folder = files("ttscale") / "configs" / "models"
    return sorted(file.name[:-5] for file in folder.iterdir() if file.name.endswith(".yaml"))


def _model(given: Any, where: str) -> Any:
    """A model section from a name, a folder, a hub id, or a mapping."""
    if isinstance(given, str):
        if given in model_names():
            file = files("ttscale") / "configs" / "models" / f"{given}.yaml"
            return {"engine": "vllm", **yaml.safe_load(file.read_text(encoding="utf-8"))}
        return {"engine": "vllm", "model": given}
    if isinstance(given, Mapping):
        if isinstance(given.get("name"), str):
            rest = {key: value for key, value in given.items() if key != "name"}
            return {**_model(given["name"], where), **rest}
        return {"engine": "openai" if "endpoint" in given else "vllm", **given}
    raise InputError(
        "a model is a name or a mapping",
        where=f"{where}: model",
        got=given,
        hint="embedded, a folder, a Hugging Face id, or {model: …, dtype: …}",
    )


def _models(given: Any, where: str) -> Any:
    """Further models, each from a name, a folder, a hub id, or a mapping."""
    if not isinstance(given, Mapping):
        raise InputError(
            "models is a mapping of names to models",
            where=f"{where}: models",
            got=given,
            hint="models: {prm: embedded_prm}",
        )
    found = {}
    for name, entry in given.items():
        section = dict(_model(entry, where))
        chosen = isinstance(entry, Mapping) and "engine" in entry
        if section["engine"] == "vllm" and not chosen:
            section["engine"] = "reward"
        found[str(name)] = section
    return found


def _strategies(given: Any, where: str) -> list[dict[str, Any]]:
    """The list of strategies, each as a mapping with a name."""
    if given is None:
        raise InputError(
            "an experiment needs at least one strategy",
            where=f"{where}: strategies",
            hint="strategies: [{name: majority_vote, n: 16}]",
        )
    listed = given if isinstance(given, list) else [given]
    found = []
    for index, entry in enumerate(listed):
        spec = {"name": entry} if isinstance(entry, str) else entry
        if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
            raise InputError(
                "a strategy is a name or a mapping with a name",
                where=f"{where}: strategies[{index}]",
                got=entry,
            )
        found.append(spec)
    return found


def _read(path: FilePath) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"the configuration cannot be read: {error.strerror}",
            where=str(path),
            hint="give the path of a YAML file, such as configs/experiments/demo.yaml",
        ) from error
    except UnicodeDecodeError as error:
        raise InputError("the configuration is not UTF-8 text", where=str(path)) from error


def parse(text: str, where: str) -> dict[str, Any]:
    """An experiment's YAML as plain values; InputError for what is no mapping."""
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{where}:{mark.line + 1}" if mark else where
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"the configuration is not YAML: {problem}", where=line) from error
    if not isinstance(given, dict):
        raise InputError(
            "the configuration is not a mapping of keys to values", where=where, got=given
        )
    return given


def _override(given: dict[str, Any], override: str) -> None:
    """Apply one `--set key=value`."""
    key, equals, text = override.partition("=")
    if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
        raise InputError(
            "an override is key=value",
            where="--set",
            got=override,
            hint="--set benchmark.size=100, --set strategies.0.n=[4,16]",
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError("an override's value is YAML", where=f"--set {key}", got=text) from error
    node: Any = given
    *parents, last = key.split(".")
    for parent in parents:
        node = _child(node, parent, key)
    if isinstance(node, list):
        _child(node, last, key)
        node[int(last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise InputError("this key is below a plain value", where=f"--set {key}", got=node)


def _child(node: Any, part: str, key: str) -> Any:
    if isinstance(node, list):
        if not part.isdigit() or int(part) >= len(node):
            raise InputError(
                f"a list of {len(node)} is indexed by 0 … {len(node) - 1}",
                where=f"--set {key}",
                got=part,
            )
        return node[int(part)]
    if not isinstance(node, dict):
        raise InputError("this key is below a plain value", where=f"--set {key}", got=node)
    if node.get(part) is None:
        node[part] = {}
    elif isinstance(node[part], str) and part == "model":
        node[part] = {"name": node[part]}
    return node[part]


def _validate(given: dict[str, Any], where: str) -> ExperimentConfig:
    try:
        return ExperimentConfig.model_validate(given)
    except ValidationError as error:
        raise _complaint(error.errors()[0], where) from error
    except InputError as error:
        place = f"{where}: {error.where}" if error.where else where
        raise InputError(error.what, where=place, got=error.got, hint=error.hint) from error


_ENGINES = {"vllm", "openai", "simulated", "reward", "openai_reward", "simulated_reward"}
"""Names that pydantic puts into an error's place for the member of a union."""


def _complaint(problem: ErrorDetails, where: str) -> InputError:
    """A pydantic error as what, where, got, try."""
    location = [str(part) for part in problem["loc"] if part not in _ENGINES]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        valid = _valid_keys(location[:-1])
        return InputError(
            "unknown key",
            where=f"{where}: {key}",
            got=problem["input"],
            hint=f"{closest(location[-1], valid)} Valid here: {', '.join(valid)}",
        )
    got = None if problem["type"] == "missing" else problem["input"]
    return InputError(problem["msg"], where=f"{where}: {key}", got=got)


def _valid_keys(location: Sequence[str]) -> list[str]:
    """The keys that are valid at a place of the configuration."""
    model: Any = ExperimentConfig
    for part in location:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        options = [annotation, *getattr(annotation, "__args__", ())]
        models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if not models:
            return []
        if len(models) > 1:
            return sorted({field for option in models for field in option.model_fields})
        model = models[0]
    return list(model.model_fields)
