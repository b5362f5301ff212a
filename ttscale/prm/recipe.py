"""How a process reward model is made, as data: whose steps, how many rollouts, what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ttscale.errors import InputError, closest
from ttscale.run.config import Experiment
from ttscale.run.config import load as load_experiment


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Problems(_Frozen):
    """Which problems of the experiment's benchmark are sampled; they must not be its own."""

    offset: int = Field(ge=0)
    size: int = Field(ge=2)
    held_out: int = Field(ge=1, description="how many, the first ones, are watched, not trained on")


class Labels(_Frozen):
    """How steps are sampled and labelled (Math-Shepherd, Wang et al., 2023, 2312.08935, §3.2).

    Attributes
    ----------
    step : what ends a step.
    solutions : of each problem.
    rollouts : completions from each distinct prefix, of whole steps, of a right solution.
    """

    step: str = Field(default="\n", min_length=1)
    solutions: int = Field(default=8, ge=1)
    rollouts: int = Field(default=4, ge=0)

    @property
    def whole(self) -> int:
        """How many completions make a label that counts in full."""
        return max(self.rollouts, 1)


class Training(_Frozen):
    """What is trained and how.

    Attributes
    ----------
    depth : how many of the policy's layers the reward model keeps, from below; all if left out.
    layers : how many of those, the upper ones, get an adapter; those below are computed once.
    alterations : wrong versions of each distinct step of a right response, made by another number
        in its last one's place (`ttscale.prm.altering`); the held-out problems get none.
    wrong : how many wrong responses of a problem, altered ones among them, an epoch reads beside
        the right ones, drawn anew every time; all if left out.
    rank : of the adapter's matrices (LoRA, Hu et al., 2021, 2106.09685), on every linear map.
    language : weight of the second objective, that the upper layers go on predicting the tokens of
        right responses (Yang et al., 2024, 2406.10216); 0 leaves it out. What the model would have
        written is what it can hold a step against.
    epochs : passes over the problems in a cycle.
    cycles : how often the learning rate starts anew (Loshchilov and Hutter, 2017, 1608.03983).
    batch : problems in one step of the optimiser.
    learning_rate : the greatest; it warms up over a tenth of a cycle and falls to 0 as a cosine.
    """

    depth: int | None = Field(default=None, ge=1)
    layers: int = Field(default=10, ge=1)
    alterations: int = Field(default=0, ge=0)
    wrong: int | None = Field(default=None, ge=1)
    rank: int = Field(default=8, ge=1)
    language: float = Field(default=0.0, ge=0)
    epochs: int = Field(default=3, ge=1)
    cycles: int = Field(default=1, ge=1)
    batch: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    seed: int = Field(default=0, ge=0)


class RecipeConfig(_Frozen):
    """A recipe's file: the experiment whose policy is judged, problems, labels, training.

    `question` is what the reward model reads before a response (layout `response`), with
    `{question}` in it; left out, the policy's own prompt (layout `policy`).
    `evaluation` says how the experiment's own problems, which are not trained on, are sampled to
    see how well the model judges there.
    """

    name: str = Field(pattern=r"^[\w][\w.-]*$")
    experiment: str = Field(description="file of the experiment: policy, prompt and sampling")
    question: str | None = None
    problems: Problems
    labels: Labels = Labels()
    training: Training = Training()
    evaluation: Labels = Labels(solutions=16, rollouts=0)


class Recipe(NamedTuple):
    """A checked recipe, its file, the experiment that samples for it, and that it is made for."""

    source: str
    config: RecipeConfig
    sampling: Experiment
    unseen: Experiment


def load(path: Path) -> Recipe:
    """Read a recipe's YAML file and the experiment it names.

    Raises InputError.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"the recipe cannot be read: {error.strerror}",
            where=str(path),
            hint="give the path of a YAML file, such as configs/prm/embedded.yaml",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError("the recipe is not YAML", where=str(path), got=str(error)) from error
    if not isinstance(given, dict):
        raise InputError("the recipe is not a mapping of keys to values", where=str(path))
    try:
        config = RecipeConfig.model_validate({"name": path.stem, **given})
    except ValidationError as error:
        raise _complaint(error, path) from error
    if config.problems.held_out >= config.problems.size:
        raise InputError(
            "no problem is left to train on",
            where=f"{path}: problems.held_out",
            got=config.problems.held_out,
            hint=f"less than problems.size, {config.problems.size}",
        )
    source = path.parent / config.experiment
    plain = ["strategies=[single]", "budget={}"]  # neither a search nor its PRM is needed here
    changes = [
        f"name=train_prm_{config.name}",
        f"benchmark.offset={config.problems.offset}",
        f"benchmark.size={config.problems.size}",
    ]
    return Recipe(
        str(path), config, load_experiment(source, plain + changes), load_experiment(source, plain)
    )


def _complaint(error: ValidationError, path: Path) -> InputError:
    problem = error.errors()[0]
    location = [str(part) for part in problem["loc"]]
    where, got = f"{path}: {'.'.join(location)}", problem["input"]
    if problem["type"] != "extra_forbidden":
        return InputError(
            problem["msg"], where=where, got=None if problem["type"] == "missing" else got
        )
    fields: Any = RecipeConfig
    for part in location[:-1]:
        fields = fields.model_fields[part].annotation
    valid = list(fields.model_fields)
    hint = f"{closest(location[-1], valid)} Valid here: {', '.join(valid)}"
    return InputError("unknown key", where=where, got=got, hint=hint)
