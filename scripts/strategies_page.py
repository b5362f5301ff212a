"""Writes docs/strategies.md from the strategies' own classes: python scripts/strategies_page.py

Names, papers, parameters and defaults are read from the code, what they were measured to give from
the reference run of the zoo; what a strategy costs and an entry that shows it stand here. With
`--figure` it draws that run as well.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from ttscale import registry

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "strategies.md"
FIGURE = ROOT / "docs" / "images" / "strategies.svg"
ZOO = ROOT / "results" / "reference" / "zoo_embedded.json"
"""The `summary.json` of `ttscale run configs/experiments/zoo_embedded.yaml`."""

INTRODUCTION = """\
# Strategies

Written from the code by `python scripts/strategies_page.py`; a test says when that is due.

A strategy is one file in `strategies/`, named here as in a configuration's `strategies:`. What any
of them generates is keyed, journaled, billed and held to the budget in one place, so all are
comparable on the same samples at the same price: plain samples that several ask for are sampled
once. `configs/experiments/zoo_embedded.yaml` runs them all on the embedded model.

Costs are generated tokens: **R** is a response, at most `sampling.max_tokens`; **n** and other
names are the parameters. *Prompts* that a strategy writes itself (a judge's, a summary's) are
computed anew and charged as prompt tokens; words put into the model's mouth likewise. What a
strategy notes of itself, such as `thinking_tokens` or what it cut to fit the context, is in
`answers.parquet`.
With `n: 1` every strategy that has an n is one plain sample (`sparse_generation` under its policy,
`repeated` what it repeats).

Those of *Retrieval* need the extra `retrieval`: `pip install 'ttscale[retrieval]'`.

What stands between `<think>` and `</think>`, or in another format's thinking, is never read for an
answer, in any strategy; thinking that is never closed gives none.

Strategies hold others: `{name: repeated, n: 8, of: {name: budget_forcing, waits: 2}}` is a majority
over budget-forced traces, and
`{name: repeated, n: 4, pick: best, of: {name: sequential_revision}, verifier: mean_logprob}` the
best of revisions.
"""


MEASURED = """\
## Measured

All of them but `sparse_generation`, whose figures are [elsewhere](sparse.md), on the embedded model
and {problems} sums of two or three numbers, from one journal, by

```
ttscale run configs/experiments/zoo_embedded.yaml
```

in {seconds:,.0f} s of two cores. The strategies needed {needed:,} sequences of {tokens:,} tokens;
{sampled:,} were sampled, of {paid:,} tokens: what several asked for was asked once. The run was
made in two sessions, with other work on the machine; 226 samples whose confidences vLLM had given
wrongly (mended since) were drawn again.

![Accuracy against generated tokens, FLOPs and seconds](images/strategies.svg)

| strategy | accuracy [95 %] | tokens | GFLOPs | seconds |
|---|---|---|---|---|
{table}

Costs are those of one problem, whoever paid for a shared sample; FLOPs hold prompts and verdicts,
with prefixes computed once. Seconds are those of the machine: each instant of the run is shared
equally among the sequences under way.

Here strategies that draw and choose come first, and those in which a model of 135M parameters must
read its own work come last: rounds of answers, a summary, documents, an agent's rewards. On
{problems} problems none differs surely from `single`, nor from a majority of 8, once all
comparisons are counted (paired over problems, Holm). Most of these sums are written in one line, so
that searches by line have little to search; `search_embedded.yaml` gives them a task of several
steps.
"""


class Shown(NamedTuple):
    """What the code does not say of a strategy: its cost, and an entry's further keys."""

    cost: str
    entry: str = ""


VERIFIER = "verifier: mean_logprob"
CORPUS = "corpus: configs/corpora/arithmetic.txt"
FORCED = 'close: "", cue: "\\n\\nAnswer:"'

FAMILIES: dict[str, dict[str, Shown]] = {
    "One sample, many samples": {
        "single": Shown("R"),
        "majority_vote": Shown("n R", "n: 16"),
        "best_of_n": Shown("n R, n scores", f"n: 16, {VERIFIER}"),
        "weighted_majority": Shown("n R, n scores", f"n: 16, {VERIFIER}"),
        "sparse_generation": Shown(
            "n R, in bytes those of its policy", 'n: 16, policy: "block_topk:1024"'
        ),
        "repeated": Shown("n times the inner strategy's", "n: 8, of: {name: budget_forcing}"),
    },
    "Selection": {
        "shortest_majority": Shown("n R", "n: 16"),
        "self_certainty": Shown("n R", "n: 16"),
        "hedged": Shown("n R, one of them greedy", "n: 16"),
        "minimum_bayes_risk": Shown(
            "n R, and evidence R for each language", "n: 8, languages: [French, German]"
        ),
        "generative_selection": Shown(
            "n R, and at most verdicts · tokens; prompts of all n solutions", "n: 8, verdicts: 2"
        ),
        "checklist_selection": Shown("n R, and at most tokens; a prompt of all n", "n: 5"),
        "committee": Shown("n R, and at most n · message", "n: 9, width: 3, message: 16"),
    },
    "Adaptive": {
        "adaptive_consistency": Shown("at most n R, less where answers agree", "n: 16"),
        "semantic_entropy": Shown("at most rounds · n R; prompts of n answers", "n: 4, rounds: 4"),
        "deepconf": Shown(
            "at most n R; weak traces up to the check that gives them up",
            "n: 16, warmup: 4, keep: 0.5, window: 32, check: 32",
        ),
        "compute_optimal": Shown("pilot R to the bin's budget R", "plan: plan.json"),
    },
    "Sequential": {
        "budget_forcing": Shown(
            "maximum, answer, and the closing marks that were taken off", f"maximum: 256, {FORCED}"
        ),
        "sequential_revision": Shown("n R; prompts of context attempts", "n: 8, chains: 2"),
        "self_refine": Shown("at most R + rounds (R + tokens); prompts of a solution", "rounds: 2"),
    },
    "Parallel": {
        "parallel_thinking": Shown(
            "n R, less where finish cuts, and tokens; a prompt of all paths", "n: 4, finish: 1"
        ),
        "map_reduce": Shown("R in all; branches computed once more", "width: 4"),
        "selective_allocation": Shown(
            "listing, a rating and quick or R for each part, R", "threshold: 0.2"
        ),
    },
    "Search": {
        "beam_search": Shown("about n R, n scores a step", f"n: 16, width: 4, {VERIFIER}"),
        "lookahead": Shown("up to (k + 1) n R", f"n: 16, width: 4, k: 1, {VERIFIER}"),
        "dvts": Shown("n R, n scores a step", f"n: 16, width: 4, {VERIFIER}"),
        "rebase": Shown("at most n R", f"n: 16, {VERIFIER}"),
        "ets": Shown("as rebase", f"n: 16, {VERIFIER}"),
        "a_star": Shown("n steps an expansion", f"n: 4, {VERIFIER}"),
        "particle_filter": Shown("at most n R", f"n: 16, {VERIFIER}"),
        "particle_gibbs": Shown("at most (n + (sweeps - 1)(n - 1)) R", f"n: 16, {VERIFIER}"),
        "mcts": Shown("at most n · width steps, and a batch to the end", f"n: 16, {VERIFIER}"),
    },
    "Retrieval": {
        "iterative_retrieval": Shown(
            "R, and up to 2 replies for each further iteration; prompts of documents",
            f"{CORPUS}, documents: 5, iterations: 5",
        ),
        "process_reward_agent": Shown(
            "at most n R, and 2 tokens a step; 2 prompts a step", f"{CORPUS}, n: 16, beam: 4"
        ),
    },
}


def page() -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION]
    for family, strategies in FAMILIES.items():
        rows = [
            f"| [`{name}`](#{name}) | {_first_line(name)} | {_papers(name)} | {shown.cost} |"
            for name, shown in strategies.items()
        ]
        table = ["| strategy | what | paper | generated |", "|---|---|---|---|", *rows]
        parts += [f"## {family}\n", "\n".join(table) + "\n"]
        parts += [_section(name, shown) for name, shown in strategies.items()]
    return "\n".join([*parts, measured(json.loads(ZOO.read_text(encoding="utf-8")))])


def measured(summary: dict[str, Any]) -> str:
    """What every strategy gave on the embedded model, as Markdown."""
    entries = sorted(summary["strategies"], key=lambda entry: -entry["accuracy"])
    needed = summary["tokens"]["generate"]
    rows = [
        f"| {entry['label']} | {entry['accuracy']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}] | "
        f"{entry['generated_tokens_per_problem']:,.0f} | "
        f"{sum(entry['flops_per_problem'].values()) / 1e9:,.1f} | "
        f"{entry['machine_seconds_per_problem']:.2f} |"
        for entry in entries
    ]
    return MEASURED.format(
        table="\n".join(rows),
        problems=summary["n_problems"],
        seconds=summary["machine_seconds"],
        needed=needed["n_sequences"],
        sampled=needed["n_paid_sequences"],
        tokens=needed["n_generated_tokens"],
        paid=needed["n_paid_generated_tokens"],
    )


def entry(name: str, shown: Shown) -> str:
    """A strategy's entry in a configuration, as YAML."""
    return f"{{name: {name}, {shown.entry}}}" if shown.entry else f"{{name: {name}}}"


def _section(name: str, shown: Shown) -> str:
    """A strategy's idea, parameters and entry."""
    about, parameters = _documented(name)
    lines = [f"### {name}\n", about + "\n"]
    for field in dataclasses.fields(registry.load("strategies", name)):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        shown_default = "" if default is dataclasses.MISSING else f" = `{default!r}`"
        text = parameters.get(field.name, "")
        lines.append(f"- `{field.name}`{shown_default}" + (f": {text}" if text else ""))
    if lines[-1].startswith("- "):
        lines[-1] += "\n"
    lines.append(f"```yaml\nstrategies: [{entry(name, shown)}]\n```\n")
    return "\n".join(lines)


def _first_line(name: str) -> str:
    doc = sys.modules[registry.load("strategies", name).__module__].__doc__ or ""
    return doc.partition("\n")[0].partition(": ")[2].rstrip(".") or doc.partition("\n")[0]


def _papers(name: str) -> str:
    doc = registry.load("strategies", name).__doc__ or ""
    ids = dict.fromkeys(re.findall(r"\b\d{4}\.\d{5}\b", doc))
    return ", ".join(f"[{each}](https://arxiv.org/abs/{each})" for each in ids) or "–"


def _documented(name: str) -> tuple[str, dict[str, str]]:
    """A docstring's prose on one line, and its parameters by name."""
    doc = re.sub(r"\n    ", "\n", (registry.load("strategies", name).__doc__ or "").strip())
    prose, parameters = [], {}
    for block in doc.split("\n\n"):
        named = re.split(r"^([\w, ]+?) : ", block, flags=re.MULTILINE)
        if len(named) > 1 and not named[0].strip():
            for names, text in zip(named[1::2], named[2::2], strict=True):
                for each in names.split(", "):
                    parameters[each] = " ".join(text.split()).rstrip(".")
        else:
            prose.append(" ".join(block.split()))
    return "\n\n".join(prose), parameters


if __name__ == "__main__":
    if "--figure" in sys.argv[1:]:
        from ttscale.report.strategy_figure import draw_strategies

        draw_strategies(json.loads(ZOO.read_text(encoding="utf-8")), FIGURE)
    PAGE.write_text(page(), encoding="utf-8")
