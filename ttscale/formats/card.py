"""The card of a dataset: what was sampled, how, and how much of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from ttscale.record.pool import Counts, Pool
from ttscale.text import visible

if TYPE_CHECKING:
    import pyarrow as pa

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"),
          (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))  # fmt: skip
_LARGEST = "10M<n<100M"

_LOADING = """from datasets import load_dataset

samples = load_dataset("FOLDER", "samples", split="train")"""

_COLUMNS = {
    "problem_id": "the problem",
    "sample_index": "the sample's number within its problem and sample set",
    "sample_set": "rows of one set are draws from one distribution",
    "answer": "what was taken out of the response; null if it gives none",
    "answer_class": "equal numbers are equivalent answers of one problem",
    "correct": "whether the answer is right; null if the grader could not tell",
    "n_prompt_tokens": "tokens of the prompt",
    "n_generated_tokens": "tokens generated",
    "finish_reason": "why generation ended; `length` is truncated",
    "response": "the generated text",
}


def card(pool: Pool, config: str | None, tables: Mapping[str, pa.Table]) -> str:
    """README.md of a dataset folder.

    Parameters
    ----------
    pool : the samples.
    config : the run's configuration as YAML; None where there is no run.
    tables : by configuration name, the first of which is the default.
    """
    counts = pool.counts()
    about = " on ".join(
        str(pool.metadata[key]) for key in ("model", "benchmark") if pool.metadata.get(key)
    )
    title = _on_one_line(about) or "Sampled answers"
    n = len(pool)
    front = {
        "pretty_name": title,
        "tags": ["ttscale", "test-time-compute"],
        "size_categories": [next((name for most, name in _SIZES if n < most), _LARGEST)],
        "configs": [
            {
                "config_name": name,
                **({"default": True} if name == "samples" else {}),
                "data_files": [{"split": "train", "path": f"data/{name}.parquet"}],
            }
            for name in tables
        ],
    }
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
        f"# {title}",
        *_labels(pool.metadata),
        f"{n:,} sampled answers to {len(counts.problem_ids):,} problems ({_each(counts)} each), "
        f"{int(counts.n_correct.sum()):,} of them right, {int(counts.n_ungradable.sum()):,} "
        f"ungradable{_truncated(pool)}. Written by ttscale.",
        _fenced(_LOADING, "python"),
        "The licences of the questions and of the model's output are not recorded here; add them "
        "before you publish this.",
        "## Sample sets",
        _sets(pool),
        "## Columns",
        _columns(pool),
    ]
    if config is not None:
        parts += ["## Configuration", _fenced(config, "yaml")]
    parts += ["## Metadata", _fenced(json.dumps(dict(pool.metadata), indent=2), "json")]
    return "\n\n".join(parts) + "\n"


def _labels(metadata: Mapping[str, Any]) -> list[str]:
    """What no reader may overlook."""
    labels = []
    if metadata.get("simulated"):
        labels.append("**Simulated**: these samples come from a simulation, not from a model.")
    if imported := metadata.get("imported"):
        source = imported.get("tool") or imported["format"]
        labels.append(f"**Imported** from files of {source}; graded by {imported['graded_by']}.")
    if metadata.get("complete") is False:
        labels.append("**Unfinished**: the run had not ended.")
    if metadata.get("searches"):
        names = ", ".join(metadata["searches"])
        labels.append(f"**No independent draws**: {names} are the ends of a search.")
    return [_on_one_line(label) for label in labels]


def _each(counts: Counts) -> str:
    low, high = int(counts.n_samples.min()), int(counts.n_samples.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _truncated(pool: Pool) -> str:
    if "finish_reason" not in pool.table.column_names:
        return ""
    n = pool.table["finish_reason"].to_pylist().count("length")
    return f", {n:,} truncated"


def _sets(pool: Pool) -> str:
    lines = ["| set | problems | samples | right |", "|---|---:|---:|---:|"]
    for name in pool.sample_sets:
        counts = pool.select(name).counts()
        cells = [_cell(name or "–"), f"{len(counts.problem_ids):,}"]
        cells += [f"{int(total):,}" for total in (counts.n_samples.sum(), counts.n_correct.sum())]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _columns(pool: Pool) -> str:
    lines = ["| column | type | |", "|---|---|---|"]
    for column in pool.table.schema:
        about = _COLUMNS.get(column.name, "")
        if column.name.startswith("score."):
            about = "a verifier's score; missing where it gave none"
        lines.append(f"| `{_cell(column.name)}` | {column.type} | {about} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return _on_one_line(text).replace("|", "\\|")


def _on_one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def _fenced(text: str, language: str) -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
