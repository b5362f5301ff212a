"""Paths: forks share, tokens stay exact, and a path costs little."""

from __future__ import annotations

import tracemalloc
from array import array

from ttscale.trace import TOKEN, Path


def grow(parent: Path, text: str, finish="step") -> Path:
    ids = array(TOKEN, map(ord, text))
    return Path(ids, text, parent, finish, n_prefix=parent.n_tokens, depth=parent.depth + 1)


def test_a_fork_shares_its_parents_spans_and_keeps_its_tokens() -> None:
    root = Path(array(TOKEN, [1, 2, 3]), "abc")
    step = grow(root, "de")
    left, right = grow(step, "f", "stop"), grow(step, "gh", "length")
    assert left.parent is right.parent is step
    assert list(right.all_token_ids()) == [1, 2, 3, *map(ord, "degh")]
    assert (right.response, right.steps) == ("degh", ["de", "gh"])
    assert (right.n_tokens, right.n_generated, right.depth) == (7, 4, 2)
    assert left.root is root and root.root is root
    assert [node.text for node in left.lineage()] == ["abc", "de", "f"]


def test_only_finished_paths_are_done() -> None:
    root = Path(array(TOKEN, [1]), "a")
    assert [grow(root, "b", f).done for f in ("step", "stop", "length", "abort")] == [
        False, True, True, True,
    ]  # fmt: skip
    assert not root.done
    assert root.response == "" and root.n_generated == 0


def test_a_prompts_own_ids_are_not_copied() -> None:
    root = Path(array(TOKEN, range(1000)), "x")
    assert root.all_token_ids() is root.token_ids


def test_a_finished_path_of_200_tokens_takes_at_most_2_kb_above_its_tokens() -> None:
    root = Path(array(TOKEN, range(100)), "prompt")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    paths = [
        Path(
            array(TOKEN, range(200)),
            "word" * 200,
            root,
            "stop",
            array("f", range(200)),
            (bytes(16), 0),
            100,
            1,
        )
        for _ in range(1000)
    ]
    used = (tracemalloc.get_traced_memory()[0] - before) / len(paths) - 4 * 200
    tracemalloc.stop()
    assert len(paths[0].text) == 800  # so the text's own bytes are counted
    assert used <= 2048
