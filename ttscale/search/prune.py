"""Which leaves a tree keeps: ETS's trade of reward against shared memory and diversity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def prune(
    weights: ArrayLike,
    above: NDArray[np.bool_],
    clusters: ArrayLike,
    *,
    sharing: float = 1.0,
    diversity: float = 1.0,
    leaf_costs: ArrayLike | None = None,
    node_costs: ArrayLike | None = None,
) -> NDArray[np.bool_]:
    """The leaves to keep: the optimum of ETS's integer program (Hooper et al., 2025, 2502.13575).

    Maximise, over binary x (leaf kept), y (node kept) and z (cluster covered),

        sum_i O_i x_i  -  sharing (sum_j c_j y_j + sum_i c_i x_i) / (sum of all costs c)
                       +  (diversity / K) sum_k z_k

    where O are the weights over their sum; a kept leaf keeps the nodes above it and no others, a
    cluster is covered by a kept leaf of its own, and at least one leaf is kept.

    Parameters
    ----------
    weights : (N,), not negative, not all 0: what each leaf would be given, REBASE's widths.
    above : (N, M), whether leaf i lies under node j.
    clusters : (N,), cluster of each leaf, 0 to K - 1.
    sharing, diversity : lambda_b and lambda_d.
    leaf_costs, node_costs : (N,) and (M,), 1 each when left out.

    Returns (N,), whether each leaf is kept.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    reward = np.asarray(weights, dtype=np.float64)
    reward = reward / reward.sum()
    member = np.asarray(clusters, dtype=np.int64)
    (n_leaves, n_nodes), n_clusters = above.shape, int(member.max()) + 1
    costs = np.concatenate(
        [
            np.ones(n_leaves) if leaf_costs is None else np.asarray(leaf_costs, np.float64),
            np.ones(n_nodes) if node_costs is None else np.asarray(node_costs, np.float64),
        ]
    )
    loss = np.append(sharing * costs / costs.sum(), np.full(n_clusters, -diversity / n_clusters))
    loss[:n_leaves] -= reward

    # Columns are x, y, z; every row is a sum that is at least 0, the last one at least 1.
    x, y, z = np.split(np.arange(len(loss)), [n_leaves, n_leaves + n_nodes])
    leaf, node = np.nonzero(above)
    pair, nodes, covers = np.split(
        np.arange(len(leaf) + n_nodes + n_clusters), [len(leaf), len(leaf) + n_nodes]
    )
    n_rows = len(pair) + len(nodes) + len(covers) + 1
    terms = [
        (pair, y[node], 1.0),  # a kept leaf keeps the nodes above it
        (pair, x[leaf], -1.0),
        (nodes[node], x[leaf], 1.0),  # a kept node has a kept leaf under it
        (nodes, y, -1.0),
        (covers[member], x, 1.0),  # a covered cluster has a kept leaf
        (covers, z, -1.0),
        (np.full(n_leaves, n_rows - 1), x, 1.0),  # a leaf is kept
    ]
    table = csr_array(
        (
            np.concatenate([np.full(len(rows), sign) for rows, _, sign in terms]),
            (
                np.concatenate([rows for rows, _, _ in terms]),
                np.concatenate([columns for _, columns, _ in terms]),
            ),
        ),
        shape=(n_rows, len(loss)),
    )
    at_least = np.zeros(n_rows)
    at_least[-1] = 1.0
    solution = milp(
        loss,
        integrality=np.ones(len(loss), dtype=np.int64),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(table, at_least, np.full(n_rows, np.inf)),
        options={"mip_rel_gap": 0.0},
    )
    assert solution.x is not None, f"keeping every leaf is feasible, but: {solution.message}"
    kept: NDArray[np.bool_] = solution.x[:n_leaves] > 0.5
    return kept
