"""From a benchmark's items to problems that a model can be asked."""

from __future__ import annotations

from collections.abc import Sequence

from ttscale.benchmark.item import Item
from ttscale.engine.protocol import Engine
from ttscale.errors import InputError
from ttscale.run.attention import check_attention
from ttscale.run.config import Experiment
from ttscale.run.display import Display
from ttscale.run.sweep import Arm
from ttscale.trace import Path, Problem


def prepare(
    experiment: Experiment,
    engine: Engine,
    items: Sequence[Item],
    chosen: Sequence[Arm],
    display: Display,
) -> list[Problem]:
    """Problems out of items: prompts rendered and tokenised, and checked against the engine."""
    from ttscale.benchmark.prompt import completion, messages

    _check_logprobs(engine, chosen)
    check_attention(engine, chosen, experiment.source)
    prompt = experiment.config.benchmark.prompt
    problems = []
    for item in items:
        if prompt.chat:
            turns = messages(item, prompt)
            ids, text = engine.encode_chat(turns), turns[-1]["content"]
        else:
            text = completion(item, prompt)
            ids = engine.encode(text)
        if len(ids) >= engine.max_context:
            raise InputError(
                "a prompt is longer than the model's context",
                where=f"problem {item.id}",
                got=f"{len(ids)} tokens, the context holds {engine.max_context}",
                hint="raise model.max_context, shorten the prompt, or leave the problem out",
            )
        root = Path(ids, text)
        problems.append(Problem(item.id, item.question, root, item.reference, item.metadata))
    longest = max(len(problem.root.token_ids) for problem in problems)
    wanted = max(arm.sampling.max_tokens for arm in chosen)
    if longest + wanted > engine.max_context:
        display.say(
            f"warning: the longest prompt ({longest} tokens) and sampling.max_tokens ({wanted}) "
            f"do not fit the context of {engine.max_context}; its responses end earlier"
        )
    prompts = {problem.root.token_ids.tobytes() for problem in problems}
    if len(prompts) < len(problems):
        display.say(
            f"warning: {len(problems) - len(prompts)} prompts stand twice in this benchmark; "
            "they share their samples"
        )
    return problems


def _check_logprobs(engine: Engine, chosen: Sequence[Arm]) -> None:
    """A verifier that reads log-probabilities has an engine that gives them."""
    if engine.provenance().get("logprobs", True):
        return
    for arm in chosen:
        if arm.verifier is not None and arm.verifier.needs_logprobs:
            raise InputError(
                "the model's endpoint gives no log-probabilities, and this verifier reads them",
                where=f"strategy {arm.label}",
                got=f"verifier {arm.verifier_name}",
                hint="serve the model with vLLM, or take a verifier that does without",
            )
