"""An experiment's models, loaded: the policy, further ones that generate, and reward models."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from ttscale.engine.openai import OpenAIConfig
from ttscale.engine.protocol import Engine, Scorer
from ttscale.engine.simulated import SimulatedConfig
from ttscale.engine.vllm import VLLMConfig
from ttscale.errors import InputError
from ttscale.run.config import ExperimentConfig, make_engine, make_scorer
from ttscale.run.display import Display


class Models(NamedTuple):
    """Started models.

    Attributes
    ----------
    policy : the experiment's `model`.
    engines, scorers : its `models`, by name: those that generate, and reward models.
    """

    policy: Engine
    engines: dict[str, Engine]
    scorers: dict[str, Scorer]

    @property
    def others(self) -> dict[str, Engine | Scorer]:
        """All but the policy."""
        return {**self.engines, **self.scorers}

    def provenance(self) -> dict[str, Any]:
        """Versions and settings of all of them, and the policy's fingerprint."""
        return {
            "fingerprint": self.policy.fingerprint,
            **self.policy.provenance(),
            "models": {name: other.provenance() for name, other in self.others.items()},
        }


async def start_models(
    stack: AsyncExitStack, config: ExperimentConfig, folder: FilePath | None, display: Display
) -> Models:
    """Load an experiment's models; the stack closes them. Logs go to the folder or the terminal.

    Raises InputError for what the user can mend.
    """
    models = Models(make_engine(config.model, folder and folder / "engine.log"), {}, {})
    stack.push_async_callback(models.policy.close)
    for name, section in config.models.items():
        log = folder and folder / f"engine-{name}.log"
        if isinstance(section, VLLMConfig | OpenAIConfig | SimulatedConfig):
            models.engines[name] = make_engine(section, log)
        else:
            models.scorers[name] = make_scorer(section, log)
        stack.push_async_callback(models.others[name].close)
    display.say(f"loading {models.policy.model} …")
    await models.policy.start()
    for name, other in models.others.items():
        display.say(f"loading {other.model} as {name} …")
        await other.start()
    for name, scorer in models.scorers.items():
        _check_tokens(name, scorer, models.policy)
    return models


def _check_tokens(name: str, scorer: Scorer, policy: Engine) -> None:
    """A reward model that reads the policy's token ids has its tokenizer."""
    if not scorer.agrees_with(policy):
        raise InputError(
            "this reward model reads the policy's token ids and has another tokenizer",
            where=f"models.{name}",
            got=f"{scorer.model}, and the policy is {policy.model}",
            hint="give the reward model's own `format:` with layout chat, dialogue, text or pieces",
        )
