"""The endpoint's sums as a task of inspect: four epochs, two scorers."""

import json
from pathlib import Path

from inspect_ai import Epochs, Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import match, pattern
from inspect_ai.solver import generate

PROBLEMS = Path(__file__).parent / "sums.jsonl"


@task
def sums(n: int) -> Task:
    """The first n sums."""
    rows = [json.loads(line) for line in PROBLEMS.read_text().splitlines()][:n]
    samples = [
        Sample(
            id=f"sum-{i}",
            input=f"What is {row['a']} + {row['b']}? End with #### and the number.",
            target=str(row["answer"]),
        )
        for i, row in enumerate(rows)
    ]
    return Task(
        dataset=MemoryDataset(samples, name="sums"),
        solver=generate(),
        scorer=[match(numeric=True), pattern(r"#### ([0-9,]+)")],
        epochs=Epochs(4, "mean"),
    )
