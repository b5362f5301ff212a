"""From a recipe to a process reward model: sample and label, train, judge, write."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ttscale.benchmark.source import load as load_items
from ttscale.benchmark.sums import right_steps
from ttscale.engine import embedded
from ttscale.engine.vllm import VLLMConfig
from ttscale.engine.vllm_process import EMBEDDED
from ttscale.errors import InputError
from ttscale.prm.altering import alter
from ttscale.prm.evaluation import judge_answers, judge_steps, step_scores
from ttscale.prm.export import WEIGHTS, halve, merge, save
from ttscale.prm.labelling import Labelled, Sampled, overlap, sample
from ttscale.prm.llama import Llama, Tensor
from ttscale.prm.recipe import Recipe
from ttscale.prm.training import Corpus, Epoch, lower_layers, predict, telling, train
from ttscale.record.files import write_json
from ttscale.run import folder as folders
from ttscale.run.config import ExperimentConfig
from ttscale.run.display import Display

ADAPTER, CARD, MERGED = "adapter.safetensors", "card.json", "prm"
"""What a finished run leaves in its folder, beside its journal and ledger."""

N_CHECKS = 4
"""Responses whose scores the card holds, for whoever loads the model elsewhere."""


def make(recipe: Recipe, results: Path, display: Display, *, fresh: bool = False) -> Path:
    """Carry a recipe out, or go on with it; returns its folder.

    The folder holds the adapter with its head, a card (settings, costs and figures), and `prm`, the
    merged model as vLLM and transformers load it. What was sampled is in the journal and is not
    sampled again; training starts over.

    Raises InputError.
    """
    experiment, unseen = recipe.sampling, recipe.unseen
    items = load_items(experiment.config.benchmark, folder=experiment.folder)
    others = load_items(unseen.config.benchmark, folder=unseen.folder)
    if both := overlap(items, others):
        raise InputError(
            f"{len(both)} problems to train on are the experiment's own",
            where=f"{recipe.source}: problems",
            got=both[0],
            hint="choose offset and size so that none of the experiment's problems is among them",
        )
    base = policy_folder(experiment.config)
    _check_depth(recipe, base)
    with folders.claim(experiment, results, fresh=fresh) as folder:
        parts = {"training": (items, recipe.config.labels)}
        parts["evaluation"] = (others, recipe.config.evaluation)
        question = recipe.config.question
        labelled = asyncio.run(sample(experiment, folder, parts, question, display, fresh=fresh))
        settings, started = recipe.config.training, time.perf_counter()
        altered = _altered(labelled["training"], recipe, base)
        watched, trained = telling(altered, recipe.config.problems.held_out)
        read = [*watched, *trained, *labelled["evaluation"]]
        llama = Llama.load(base, settings.depth)
        display.say(f"running the lower layers over {len(read)} problems …")
        corpus = lower_layers(llama, read, settings.layers)
        seen, tested = (
            corpus._replace(documents=documents)
            for documents in (corpus.documents[: -len(others)], corpus.documents[-len(others) :])
        )
        epochs: list[Epoch] = []

        def report(epoch: Epoch) -> None:
            epochs.append(epoch)
            display.say(
                f"epoch {epoch.number}/{settings.epochs * settings.cycles}: "
                f"loss {epoch.train_loss:.4f}, held out {epoch.held_out_loss:.4f}, "
                f"AUROC of endings there {epoch.held_out_auroc:.3f}, {epoch.seconds:.0f} s"
            )

        n_whole = recipe.config.labels.whole
        adapter = halve(train(llama, seen, len(watched), n_whole, settings, report))
        save(adapter, folder / ADAPTER)
        card = {
            "recipe": recipe.config.model_dump(mode="json"),
            "material": material(labelled["training"]),
            "seconds": round(time.perf_counter() - started),
            "epochs": [epoch._asdict() for epoch in epochs],
            **judge(llama, tested, labelled["evaluation"], adapter, recipe),
        }
        write_json(card, folder / CARD)
        shutil.rmtree(folder / MERGED, ignore_errors=True)
        merge(base, folder / ADAPTER, folder / MERGED)
        return folder


def policy_folder(config: ExperimentConfig) -> Path:
    """The folder of the policy's weights.

    Raises InputError unless it is a Llama model in one file of safetensors.
    """
    where = "the recipe's experiment: model"
    if not isinstance(config.model, VLLMConfig):
        raise InputError("a simulated model has no weights to train on", where=where)
    if config.model.model == EMBEDDED:
        return embedded.ensure()
    folder = Path(config.model.model).expanduser()
    try:
        known = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if known.get("architectures") != ["LlamaForCausalLM"] or not (folder / WEIGHTS).is_file():
        raise InputError(
            "the adapter is trained on a Llama model in a local folder with one weights file",
            where=where,
            got=config.model.model,
            hint=f"`embedded`, or a folder with config.json (LlamaForCausalLM) and {WEIGHTS}",
        )
    return folder


def _check_depth(recipe: Recipe, base: Path) -> None:
    """Refuse to keep or to train more layers than there are."""
    settings = recipe.config.training
    n_all = json.loads((base / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
    depth = n_all if settings.depth is None else settings.depth
    for name, got, limit in (("depth", depth, n_all), ("layers", settings.layers, depth)):
        if got > limit:
            raise InputError(
                "there are not so many layers",
                where=f"{recipe.source}: training.{name}",
                got=got,
                hint=f"at most {limit}",
            )


def _altered(problems: list[Labelled], recipe: Recipe, base: Path) -> list[Labelled]:
    """The problems, those that are trained on with altered steps if the recipe asks for them."""
    settings, held_out = recipe.config.training, recipe.config.problems.held_out
    if not settings.alterations:
        return problems
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(base / "tokenizer.json"))

    def encode(text: str) -> list[int]:
        ids: list[int] = own.encode(text, add_special_tokens=False).ids
        return ids

    def decode(ids: Sequence[int]) -> str:
        return str(own.decode(list(ids), skip_special_tokens=False))

    rng = np.random.default_rng(settings.seed)
    trained = [
        alter(problem, settings.alterations, decode, encode, rng) for problem in problems[held_out:]
    ]
    return [*problems[:held_out], *trained]


def material(problems: Sequence[Labelled]) -> dict[str, float]:
    """How many responses there are to train on, and what share of them is right."""
    responses = [response for problem in problems for response in problem.responses]
    found: dict[str, float] = {
        "problems": len(problems),
        "mixed": sum(problem.mixed for problem in problems),
    }
    for name, rolled_out in (("solutions", False), ("rollouts", True)):
        right = [response.right for response in responses if bool(response.n_prefix) is rolled_out]
        found[name] = len(right)
        found[f"right_{name}"] = round(float(np.mean(right)), 4) if right else 0.0
    return found


def judge(
    llama: Llama,
    corpus: Corpus,
    problems: list[Labelled],
    adapter: dict[str, Tensor],
    recipe: Recipe,
) -> dict[str, Any]:
    """The figures of a trained model on problems it has not seen, and a few scores to check."""
    logits = predict(llama, corpus, corpus.documents, adapter)
    marks = [scores.sigmoid().numpy().astype(np.float64) for scores in logits]
    trees = [document.tree for document in corpus.documents]
    steps = step_scores(trees, marks)
    rng = np.random.default_rng(recipe.config.training.seed)
    checks = []
    for problem, scores in zip(problems[:N_CHECKS], steps, strict=False):
        solution = problem.solutions[0]
        checks.append(
            {
                "token_ids": [*problem.prompt, *solution.token_ids],
                "places": [len(problem.prompt) + end - 1 for end in solution.ends],
                "scores": [round(float(score), 5) for score in scores[0]],
            }
        )
    sums = recipe.unseen.config.benchmark.sums is not None
    return {
        "answers": judge_answers(problems, steps, rng, recipe.config.evaluation.solutions),
        "steps": judge_steps(problems, trees, steps, rng, _exact if sums else None),
        "checks": checks,
    }


def show(folder: Path, *, as_json: bool) -> None:
    """Print a finished run's figures, or its card."""
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(card, ensure_ascii=False))
        return
    answers, steps, sampled = card["answers"], card["steps"], card["material"]
    print(
        f"{sampled['problems']:,} problems, of which {sampled['mixed']:,} have right and wrong "
        f"responses: {sampled['solutions']:,} solutions, {sampled['right_solutions']:.3f} of them "
        f"right; {sampled['rollouts']:,} rollouts, {sampled['right_rollouts']:.3f} of them right"
    )
    print(f"{answers['problems']} unseen problems × {card['recipe']['evaluation']['solutions']}")
    for name, value in answers.items():
        if isinstance(value, dict):
            print(f"  {name:14}", *(f"{key} {_interval(v)}" for key, v in value.items()), sep="  ")
        elif isinstance(value, list):
            print(f"  {name:14}  {_interval(value)}")
    for truth, figures in steps.items():
        print(f"{figures['steps']:,} steps before the last; the truth: {truth}")
        for name in ("prm", "mean_logprob"):
            aurocs = (f"{key} {_interval(value)}" for key, value in figures[name].items())
            print(f"  {name:14}", *aurocs, sep="  ")
    print(f"The model is {folders.show(folder / MERGED)}")


def _interval(value: list[float | None]) -> str:
    """Estimate and ends; what too few problems leave open is a dash."""
    return "{} [{}, {}]".format(*("–" if end is None else f"{end:.3f}" for end in value))


def _exact(problem: Labelled, solution: Sampled) -> list[bool]:
    """Which steps of a solution of a sum are right so far."""
    return right_steps(problem.question, solution.steps)
