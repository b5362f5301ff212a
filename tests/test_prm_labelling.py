"""Labels by rollouts: the shares are those counted by hand, and nothing is sampled twice."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.scripted import ScriptedEngine, make_problem, make_session
from ttscale.context import Context
from ttscale.engine.protocol import Sampling
from ttscale.errors import InputError
from ttscale.prm.labelling import Labelled, Sampled, label, overlap, step_ends
from ttscale.prm.recipe import Labels, load
from ttscale.prm.tree import Tree, shared_prefix, tree
from ttscale.record.journal import Journal
from ttscale.trace import TOKEN

CONFIGS = Path(__file__).parents[1] / "configs"

SOLUTIONS = ["a\nb\n=2", "a\nc\n=3", "d\n=2", "a\nb\n=2"]
"""What the policy answers to the question 1+1, in the order of the streams."""

ROLLOUTS = {
    "a\n": ["b\n=2", "x\n=1", "b\n=3"],
    "a\nb\n": ["=2", "=4", "=2"],
    "d\n": ["=2", "e\n=2", "=9"],
}
"""And from every prefix, of whole steps, of a right solution."""


class Policy(ScriptedEngine):
    """Gives the replies above, one after the other."""

    def __init__(self) -> None:
        self.given: dict[str, int] = {}
        super().__init__(self.next_reply)

    def next_reply(self, prefix: str, seed: int) -> str:
        response = prefix.removeprefix("1+1")
        replies = ROLLOUTS[response] if response else SOLUTIONS
        self.given[response] = self.given.get(response, 0) + 1
        return replies[self.given[response] - 1]


def labelled(engine: ScriptedEngine, path: Path) -> Labelled:
    async def main() -> Labelled:
        journal = Journal(path)
        problem = make_problem()
        ctx = Context(make_session(engine, journal), problem, "train", Sampling(max_tokens=20))
        labels = Labels(solutions=4, rollouts=3)
        found = await label(problem, ctx, labels, problem.root.token_ids, engine.decode)
        journal.close()
        return found

    return asyncio.run(main())


def text_at(grown: Tree, place: int) -> str:
    """What a path says after the question up to a token."""
    tokens = []
    while place >= 0:
        tokens.append(int(grown.token_ids[place]))
        place = int(grown.parents[place])
    return "".join(map(chr, reversed(tokens))).removeprefix("1+1")


def by_text(grown: Tree) -> dict[str, tuple[int, int, bool]]:
    """Right responses, all, and whether one ends there, for the text up to each mark."""
    found = {}
    for mark, right, total, final in zip(
        grown.marks, grown.n_right, grown.n_total, grown.final, strict=True
    ):
        found[text_at(grown, int(mark))] = (int(right), int(total), bool(final))
    return found


def test_a_label_counts_what_went_on_from_a_prefix_and_nothing_else(tmp_path: Path) -> None:
    problem = labelled(Policy(), tmp_path / "journal.sqlite")
    assert len(problem.responses) == 4 + 3 * 3
    assert problem.solutions[0].steps == ("a\n", "b\n", "=2")
    assert by_text(tree(problem, n_shared=0)) == {
        # three solutions (right, wrong, right) and its rollouts (right, wrong, wrong); those that
        # were asked for further down say nothing about it
        "a\n": (3, 6, False),
        # two solutions, the two rollouts from `a` that came past (right, wrong), its own three
        "a\nb\n": (2 + 1 + 2, 2 + 2 + 3, False),
        "a\nc\n": (0, 1, False),  # not rolled out
        "a\nx\n": (0, 1, False),
        "d\n": (1 + 2, 1 + 3, False),
        "d\ne\n": (1, 1, False),
        "a\nb\n=2": (2 + 1 + 2, 5, True),
        "a\nb\n=3": (0, 1, True),
        "a\nb\n=4": (0, 1, True),
        "a\nc\n=3": (0, 1, True),
        "a\nx\n=1": (0, 1, True),
        "d\n=2": (2, 2, True),
        "d\n=9": (0, 1, True),
        "d\ne\n=2": (1, 1, True),
    }


def test_a_pruned_tree_keeps_the_paths_of_its_endings_and_their_labels(tmp_path: Path) -> None:
    grown = tree(labelled(Policy(), tmp_path / "journal.sqlite"), n_shared=0)
    texts = [text_at(grown, mark) for mark in grown.marks.tolist()]
    asked = np.array([texts.index(text) for text in ("d\n=2", "a\nb\n=2", "a\nx\n=1")])
    pruned, rows = grown.pruned(asked)
    kept = {"a\n", "a\nb\n", "a\nx\n", "d\n", "a\nb\n=2", "a\nx\n=1", "d\n=2"}
    assert by_text(pruned) == {
        text: label for text, label in by_text(grown).items() if text in kept
    }
    assert [text_at(pruned, place) for place in range(len(pruned.token_ids))] == [
        text_at(grown, place) for place in rows.tolist()
    ]
    assert (pruned.depths == grown.depths[rows]).all()
    ways = [[text_at(pruned, int(pruned.marks[mark])) for mark in way] for way in pruned.visits]
    whole = ["a\n", "a\nb\n", "a\nb\n=2"]
    assert ways == [whole, ["d\n", "d\n=2"], whole], "the second solution was left out"
    told = [text_at(pruned, int(place)) + chr(token) for place, token in pruned.written]
    ended = ("a\nb\n=2", "d\n=2")
    assert sorted(told) == [text[:n] for text in ended for n in range(1, len(text) + 1)]


def test_prefixes_that_solutions_share_are_rolled_out_once_and_replayed_for_free(
    tmp_path: Path,
) -> None:
    engine = Policy()
    first = labelled(engine, tmp_path / "journal.sqlite")
    assert engine.given == {"": 4, "a\n": 3, "a\nb\n": 3, "d\n": 3}
    again = Policy()
    assert labelled(again, tmp_path / "journal.sqlite") == first
    assert again.requests == []


def test_a_rare_label_weighs_less_and_an_end_weighs_in_full(tmp_path: Path) -> None:
    grown = tree(labelled(Policy(), tmp_path / "journal.sqlite"), n_shared=0)
    weights = grown.weights(3)
    assert set(weights[grown.final]) == {1.0}
    counted = {(int(n), round(float(w), 4)) for n, w in zip(grown.n_total, weights, strict=True)}
    assert (1, 0.3333) in counted
    assert (6, 1.0) in counted


def test_tokens_stand_once_and_attend_to_what_stands_before_them(tmp_path: Path) -> None:
    problem = labelled(Policy(), tmp_path / "journal.sqlite")
    grown = tree(problem, n_shared=1)
    prefixes = {
        tuple([*problem.prompt, *response.token_ids][: n + 1])
        for response in problem.responses
        for n in range(1, len(problem.prompt) + len(response.token_ids))
    }
    assert len(grown.token_ids) == len(prefixes)
    mask = grown.ancestors()
    assert (mask.sum(axis=1) == grown.depths + 1).all()
    row = int(grown.marks[-1])
    seen = tuple(grown.token_ids[np.flatnonzero(mask[row])])
    assert (problem.prompt[0], *seen) in prefixes


def test_the_shared_prefix_ends_where_prompts_part() -> None:
    def problem(*prompt: int) -> Labelled:
        return Labelled("", "", array(TOKEN, prompt), [])

    assert shared_prefix([problem(5, 6, 7), problem(5, 6, 8), problem(5, 6, 7, 1)]) == 2
    assert shared_prefix([problem(5, 6), problem(5, 6, 8)]) == 2
    assert shared_prefix([problem(4), problem(5)]) == 0


@pytest.mark.parametrize(
    ("pieces", "ends"),
    [
        (["a", "\n", "b", "\n", "c"], (2, 4, 5)),
        (["a", "\n", "b", "\n"], (2, 4)),
        (["a", "\n\n", "b"], (2, 3)),
        (["a", "\nb", "c", " \n"], (2, 4)),
        (["a"], (1,)),
        ([], ()),
    ],
)
def test_a_step_ends_with_the_token_that_completes_the_delimiter(
    pieces: list[str], ends: tuple[int, ...]
) -> None:
    def decode(ids: Sequence[int]) -> str:
        return "".join(pieces[i] for i in ids)

    assert step_ends(range(len(pieces)), "\n", decode) == ends


def test_a_delimiter_of_several_tokens_is_found_across_them() -> None:
    text = "one##two#three##"
    assert step_ends([ord(c) for c in text], "##", lambda ids: "".join(map(chr, ids))) == (5, 16)


def test_the_committed_recipe_trains_on_none_of_the_experiments_problems() -> None:
    from ttscale.benchmark.source import load as load_items

    recipe = load(CONFIGS / "prm" / "embedded.yaml")
    trained = load_items(recipe.sampling.config.benchmark, folder=recipe.sampling.folder)
    others = load_items(recipe.unseen.config.benchmark, folder=recipe.unseen.folder)
    assert len(trained) == recipe.config.problems.size
    assert overlap(trained, others) == []
    assert overlap(others, others[:1]) == [others[0].question]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("problems: {offset: 0, size: 9, held_out: 1}", "Field required"),
        ("experiment: e.yaml\nproblems: {offset: 0, size: 9, held_out: 9}", "left to train on"),
        ("experiment: e.yaml\nproblems: {offset: 0, size: 9, held: 1}", "held_out"),
        ("experiment: e.yaml\nproblem: {}", "problems"),
        ("- 1", "not a mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load(tmp_path / "recipe.yaml")


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_solutions_are_the_responses_to_the_prompt() -> None:
    ids = array(TOKEN, [1, 2])
    responses = [Sampled(ids, (2,), (), True), Sampled(ids, (1, 2), (), True, n_prefix=1)]
    assert Labelled("p", "q", ids, responses).solutions == responses[:1]
