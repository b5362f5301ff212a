"""ETS: its integer program against brute force, its clusters against scikit-learn, its tree."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import AgglomerativeClustering

from tests.scripted_tree import PROMPT, extended, prompt
from ttscale.search.clusters import cluster, ngram_counts
from ttscale.search.prune import prune
from ttscale.search.tree import ancestry
from ttscale.trace import held_tokens


def objective(kept, weights, above, clusters, sharing, diversity, leaf_costs, node_costs) -> float:
    """The program's value of a set of leaves, straight from its definition."""
    kept = np.asarray(kept, dtype=bool)
    nodes = above[kept].any(axis=0)
    covered = len(set(clusters[kept])) / len(set(clusters))
    cost = leaf_costs[kept].sum() + node_costs[nodes].sum()
    everything = leaf_costs.sum() + node_costs.sum()
    reward = weights[kept].sum() / weights.sum()
    return float(reward - sharing * cost / everything + diversity * covered)


@st.composite
def forests(draw):
    n_leaves = draw(st.integers(1, 7))
    n_nodes = draw(st.integers(0, 4))
    parents = draw(st.lists(st.integers(-1, n_nodes - 1), min_size=n_leaves, max_size=n_leaves))
    uppers = [draw(st.integers(-1, j - 1)) for j in range(n_nodes)]
    above = np.zeros((n_leaves, n_nodes), dtype=bool)
    for leaf, parent in enumerate(parents):
        node = parent
        while node >= 0:
            above[leaf, node] = True
            node = uppers[node]
    weights = draw(st.lists(st.integers(0, 9), min_size=n_leaves, max_size=n_leaves))
    weights[0] += 1
    raw = draw(st.lists(st.integers(0, 3), min_size=n_leaves, max_size=n_leaves))
    numbers = {label: k for k, label in enumerate(dict.fromkeys(raw))}
    clusters = np.array([numbers[label] for label in raw])
    leaf_costs = np.array(draw(st.lists(st.integers(1, 9), min_size=n_leaves, max_size=n_leaves)))
    node_costs = np.array(draw(st.lists(st.integers(1, 9), min_size=n_nodes, max_size=n_nodes)))
    return np.array(weights), above, clusters, leaf_costs, node_costs.astype(int)


@settings(max_examples=150)
@given(forests(), st.floats(0, 3), st.floats(0, 3))
def test_the_program_finds_the_optimum_of_all_sets(forest, sharing, diversity) -> None:
    weights, above, clusters, leaf_costs, node_costs = forest
    args = (weights, above, clusters, sharing, diversity, leaf_costs, node_costs)
    kept = prune(
        weights,
        above,
        clusters,
        sharing=sharing,
        diversity=diversity,
        leaf_costs=leaf_costs,
        node_costs=node_costs,
    )
    sets = itertools.product([False, True], repeat=len(weights))
    best = max(objective(some, *args) for some in sets if any(some))
    assert kept.any()
    assert objective(kept, *args) == pytest.approx(best, abs=1e-6)


ABOVE = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)


def test_sharing_keeps_the_leaves_of_one_branch() -> None:
    # All three with weight: 1 - 5/6; the first branch alone: 3/4 - 3/6; its better leaf: 1/2 - 2/6.
    kept = prune([2, 1, 1, 0], ABOVE, [0, 1, 2, 3], diversity=0)
    assert kept.tolist() == [True, True, False, False]


def test_diversity_keeps_one_leaf_of_every_cluster() -> None:
    kept = prune([2, 1, 1, 0], ABOVE, [0, 0, 1, 1], diversity=1.5)
    assert kept.tolist() == [True, True, True, False]
    kept = prune([4, 0, 0, 0], ABOVE, [0, 0, 0, 1], diversity=1.5)
    assert kept.tolist() == [True, False, False, True]


def test_a_costly_node_is_not_kept_for_little() -> None:
    leaves = {"clusters": [0, 0, 0, 0], "leaf_costs": [1, 1, 1, 1]}
    cheap = prune([1, 1, 2, 2], ABOVE, diversity=0, node_costs=[1, 1], **leaves)
    assert cheap.tolist() == [False, False, True, True]
    costly = prune([1, 1, 2, 2], ABOVE, diversity=0, node_costs=[1, 30], **leaves)
    assert costly.tolist() == [True, True, False, False]


def test_a_leaf_is_kept_whatever_it_costs() -> None:
    assert prune([1, 1], np.ones((2, 1), bool), [0, 0], sharing=50, diversity=0).sum() == 1


def test_ancestry_is_what_stands_between_the_prompt_and_the_leaves() -> None:
    root = prompt()
    a, b = extended(root, "a"), extended(root, "b")
    ac = extended(a, "c")
    leaves = [extended(ac, "d"), extended(ac, "e"), extended(a, "f"), extended(b, "g"), b]
    nodes, above = ancestry(leaves)
    assert nodes == [a, ac, b]
    assert above.astype(int).tolist() == [[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert ancestry([a, b]).above.shape == (2, 0)


def test_held_tokens_count_a_shared_node_once() -> None:
    root = prompt()
    a = extended(root, "aaa")
    assert held_tokens([extended(a, "b"), extended(a, "c"), a]) == len(PROMPT) + 5 + 3 + 3
    assert held_tokens([]) == 0


def test_equal_steps_are_one_cluster_and_different_ones_are_not() -> None:
    texts = ["3 + 4 = 7\n\n", "3  + 4 = 7", "So the total is 12.", "", "x"]
    assert cluster(ngram_counts(texts), 0.05).tolist() == [0, 0, 1, 2, 3]
    assert cluster(ngram_counts(["alone"]), 0.05).tolist() == [0]


def test_trigrams_are_counted_with_blank_ends() -> None:
    table = ngram_counts(["ab", " ab\n ab"])
    assert table.tolist() == [[1, 1, 1, 1, 0], [1, 2, 2, 1, 1]]  # "  a" " ab" "ab " "b  " "b a"


@pytest.mark.parametrize("cut", [0.02, 0.1, 0.3, 0.6])
def test_clusters_are_those_of_scikit_learn(cut: float) -> None:
    rng = np.random.default_rng(0)
    for n in (2, 5, 12, 30):
        vectors = rng.gamma(0.5, size=(n // 2 + 1, 6))[rng.integers(n // 2 + 1, size=n)]
        vectors = vectors + rng.exponential(0.1, size=vectors.shape)
        theirs = AgglomerativeClustering(
            n_clusters=None, metric="cosine", linkage="average", distance_threshold=cut
        ).fit_predict(vectors)
        ours = cluster(vectors, cut)
        same = ours[:, None] == ours
        assert (same == (theirs[:, None] == theirs)).all()
        assert sorted(set(ours.tolist())) == list(range(len(set(ours.tolist()))))
