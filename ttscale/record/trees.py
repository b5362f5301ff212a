"""The trees that strategies grew: every partial solution, kept or pruned, with its score.

One row for each node, in `trees.parquet` of a run's folder. Arms that only draw independent samples
grow no tree; their samples are the pool's.

Columns
-------
arm, problem_id : str, whose tree.
node : int, numbered from 0 within the tree, parents before children.
parent : int or null for a prompt.
text : str, the node's own; of a prompt that is not the problem's, the prompt.
finish : str or null for a prompt; `step` is unfinished, and pruned where nothing follows.
n_tokens : int, the node's own.
score : float, NaN where the verifier did not see it.
answer : str or null; correct : bool or null. Of finished nodes that the pool knows.
chosen : bool, whether the strategy's answer lies on or under the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, NamedTuple, get_type_hints

from ttscale.trace import Path

if TYPE_CHECKING:
    import pyarrow as pa

TREES = "trees.parquet"
"""The trees' name in a run folder."""


class Node(NamedTuple):
    """One node; the columns of `trees.parquet` say what its fields are."""

    parent: int | None
    text: str
    finish: str | None
    n_tokens: int
    score: float
    answer: str | None
    correct: bool | None
    chosen: bool


class Judged(NamedTuple):
    """The answer a finished path gives, and whether it is right; None where nobody can tell."""

    answer: str | None
    correct: bool | None


def make_tree(
    grown: Iterable[Path],
    scores: Mapping[Path, float],
    judged: Mapping[Path, Judged],
    chosen: Path | None,
) -> list[Node]:
    """The nodes of all paths that a strategy sampled on one problem, in the order of sampling."""
    kept = set(chosen.lineage()) if chosen is not None else set()
    place: dict[Path, int] = {}
    nodes: list[Node] = []
    for path in grown:
        for node in path.lineage():
            if node in place:
                continue
            place[node] = len(nodes)
            nodes.append(
                Node(
                    None if node.parent is None else place[node.parent],
                    node.text,
                    node.finish,
                    len(node.token_ids),
                    scores.get(node, float("nan")),
                    *judged.get(node, Judged(None, None)),
                    node in kept,
                )
            )
    return nodes


def tree_table(problem_id: str, trees: Mapping[str, Sequence[Node]]) -> pa.Table:
    """The trees of one problem, by arm, as rows."""
    import pyarrow as pa

    kinds = {int: pa.int64(), str: pa.string(), float: pa.float64(), bool: pa.bool_()}
    fields = {
        name: next(arrow for python, arrow in kinds.items() if hint in (python, python | None))
        for name, hint in get_type_hints(Node).items()
    }
    rows = [
        {"arm": arm, "problem_id": problem_id, "node": i, **node._asdict()}
        for arm, nodes in trees.items()
        for i, node in enumerate(nodes)
    ]
    schema = {"arm": pa.string(), "problem_id": pa.string(), "node": pa.int64(), **fields}
    return pa.Table.from_pylist(rows, schema=pa.schema(schema))


def read_trees(path: FilePath) -> dict[tuple[str, str], list[Node]]:
    """A run's trees by arm and problem; none where the file is not there."""
    import pyarrow.parquet as pq

    trees: dict[tuple[str, str], list[Node]] = {}
    for row in pq.read_table(path).to_pylist() if path.is_file() else ():
        node = Node(*(row[name] for name in Node._fields))
        trees.setdefault((row["arm"], row["problem_id"]), []).append(node)
    return trees
