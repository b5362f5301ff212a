"""Simulated solutions, cut and continued: by steps, by tokens, after foreign text."""

from __future__ import annotations

import math
from array import array
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.test_simulated_world import GREEDY, ROOM, WHOLE, answer_of, prompt, rate_is, write
from ttscale.engine.protocol import Sampling
from ttscale.engine.simulated import (
    Fixed,
    Truth,
    Uniform,
    WorldConfig,
    characters,
    question,
    steps_right,
)
from ttscale.engine.simulated.law import World
from ttscale.engine.simulated.solution import Writer

ELEVEN_STEPS = Writer(World(WorldConfig(steps=Fixed(value=11))))


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=8), st.sampled_from([0.1, 0.9]), st.booleans()
)
def test_a_greedy_solution_cut_anywhere_goes_on_as_if_uncut(
    cuts: list[int], p: float, chat: bool
) -> None:
    writer = ELEVEN_STEPS
    prefix = prompt(p) if chat else characters.encode(question(Truth("x", p, "42")))
    whole = write(writer, prefix, GREEDY)
    ids, logprobs = array("i"), array("f")
    while len(ids) < len(whole.token_ids):
        size = cuts[len(ids) % len(cuts)]
        piece = write(writer, prefix + ids, Sampling(temperature=0.0, max_tokens=size))
        ids += piece.token_ids
        logprobs += piece.logprobs
    assert ids == whole.token_ids
    assert piece.finish == "stop"
    if p == 0.9:  # the noise of a step is named by its digits, so only whole digits repeat it
        assert len(logprobs) == len(whole.logprobs)


@pytest.mark.parametrize(
    "piecewise",
    [Sampling(max_tokens=ROOM, step=("\n\n",)), Sampling(max_tokens=ROOM, step_tokens=17)],
    ids=["by delimiter", "by 17 tokens"],
)
def test_stepwise_solutions_have_the_distribution_of_whole_ones(piecewise: Sampling) -> None:
    writer = Writer(World(WorldConfig(logprobs=False, abstention=0.1)))
    prefix, p, n = prompt(0.35), 0.35, 1500
    lengths: list[int] = []
    outcomes: Counter[str | None] = Counter()
    for seed in range(n):
        ids = prefix
        finish = "step"
        while finish == "step":
            piece = write(writer, ids, piecewise, seed)
            ids, finish = ids + piece.token_ids, piece.finish
        response = characters.decode(ids[len(prefix) :])
        assert finish == "stop"
        assert (answer_of(response) == "42") == all(steps_right(response))
        outcomes[answer_of(response)] += 1
        lengths.append(len(response))
    assert rate_is(outcomes["42"], n, p)
    assert rate_is(outcomes[None], n, (1 - p) * 0.1)
    whole = [len(write(writer, prefix, WHOLE, seed).text) for seed in range(n, 3 * n)]
    assert stats.ks_2samp(lengths, whole).pvalue > 1e-4


@pytest.mark.parametrize("n_tokens", [30, 60, 140, 200])
def test_the_chance_left_is_a_martingale_and_comes_true(n_tokens: int) -> None:
    writer = Writer(World(WorldConfig(logprobs=False, steps=Uniform(low=3, high=5))))
    prefix, p, n = prompt(0.4), 0.4, 3000
    cut = Sampling(max_tokens=n_tokens)
    chances, right = [], []
    for seed in range(n):
        ids = prefix + write(writer, prefix, cut, seed).token_ids
        chances.append(writer.read(ids).chance)
        response = characters.decode(ids[len(prefix) :]) + write(writer, ids, WHOLE, seed).text
        right.append(answer_of(response) == "42")
    assert abs(np.mean(chances) - p) < 4 * np.std(chances) / math.sqrt(n) + 1e-12
    gap = np.asarray(right, dtype=float) - np.asarray(chances)
    assert abs(gap.mean()) < 4 * gap.std() / math.sqrt(n)
    assert all(not ok for ok, chance in zip(right, chances, strict=True) if chance == 0)
    assert np.std(chances) > 0 or n_tokens == 30


PLAIN = Writer(World(WorldConfig()))


def by_hand(text: str, s: Sampling, room: int) -> tuple[int, str, str]:
    """Token by token: how many, the text, and why it ends, for a solution of this whole text."""
    written, limit = "", min(s.max_tokens, room)
    while True:
        n = len(written)
        if n == limit:
            return n, written, "length"
        if n == s.step_tokens:
            return n, written, "step"
        if n < len(text):
            written += text[n]
        elif n >= s.min_tokens and not s.ignore_eos:
            return n + 1, written, "stop"
        else:
            written += TAIL[n - len(text)]
        if len(written) >= s.min_tokens:
            for mark in s.stop:
                if written.endswith(mark):
                    return len(written), written.removesuffix(mark), "stop"
            if written.endswith(s.step or ("\0",)):
                return len(written), written, "step"


TAIL = "\n. So far so good; one more sum and the next step is due" + 50 * (
    ". So far so good; one more sum and the next step is due"
)


@settings(max_examples=300)
@given(
    st.builds(
        Sampling,
        max_tokens=st.one_of(st.integers(1, 300), st.just(1000)),
        min_tokens=st.one_of(st.just(0), st.integers(0, 400)),
        stop=st.sets(
            st.sampled_from(["Step 2", " ", "\n\n", "due", "Answer", "7"]), max_size=2
        ).map(tuple),
        step=st.sets(st.sampled_from(["\n\n", "good", ".", "\nStep"]), max_size=2).map(tuple),
        step_tokens=st.one_of(st.none(), st.integers(1, 300)),
        ignore_eos=st.booleans(),
    ),
    st.integers(0, 50),
    st.integers(1, 1200),
)
def test_every_way_to_end_is_as_token_by_token(sampling: Sampling, seed: int, room: int) -> None:
    writer = PLAIN
    standing = writer.read(prompt())
    whole = writer.write(standing, WHOLE, seed, ROOM).text
    draft = writer.write(standing, sampling, seed, room)
    assert (len(draft.token_ids), draft.text, draft.finish) == by_hand(whole, sampling, room)
    assert len(draft.logprobs) == len(draft.token_ids)


# What is not a solution of its own


def test_after_foreign_text_comes_a_fresh_attempt() -> None:
    writer = Writer(World(WorldConfig(logprobs=False)))
    prefix, n, revised = prompt(0.3), 1500, 0
    for seed in range(n):
        first = write(writer, prefix, WHOLE, seed)
        again = prefix + first.token_ids + characters.encode("Wait")
        assert writer.read(again).chance == 0.3
        text = write(writer, again, WHOLE, seed).text
        assert text.startswith("\nStep 1: ")
        revised += answer_of(text) == "42"
    assert rate_is(revised, n, 0.3)


def forced(writer: Writer, prefix: array[int], cut: int, seed: int) -> array[int]:
    """A solution cut after some tokens and asked for its answer."""
    draft = write(writer, prefix, Sampling(max_tokens=cut), seed)
    return prefix + draft.token_ids + characters.encode("\nFinal Answer:")


def test_an_answer_asked_for_early_is_right_with_the_chance_left() -> None:
    world = World(WorldConfig(steps=Fixed(value=4), abstention=0.3, wrong_answers=1))
    writer, prefix, n = Writer(world), prompt(0.2**4), 2000
    seen = set()
    for seed in range(3000):
        asked = forced(writer, prefix, 20 + seed % 140, seed)
        chance = writer.read(asked).chance
        if chance == 0 or round(chance, 9) in seen:
            continue
        seen.add(round(chance, 9))
        drafts = [write(writer, asked, WHOLE, other) for other in range(n)]
        counts = Counter(draft.text for draft in drafts)
        assert {draft.finish for draft in drafts} == {"stop"}
        assert rate_is(counts[" 42"], n, chance)
        assert rate_is(counts[""], n, (1 - chance) * 0.3)
        assert rate_is(counts[" 43"], n, (1 - chance) * 0.7)
        assert write(writer, asked, GREEDY).text == " 43"
    assert seen == {0.0016, 0.008, 0.04, 0.2}


def test_an_answer_asked_for_after_a_mistake_is_where_it_leads() -> None:
    writer, prefix = Writer(World(WorldConfig(wrong_answers=50, wrong_skew=0.0))), prompt(0.0)
    whole = [answer_of(write(writer, prefix, WHOLE, seed).text) for seed in range(20)]
    for seed, answer in enumerate(whole):
        asked = forced(writer, prefix, 36, seed)  # the first sum is written, its step is not
        given = {write(writer, asked, WHOLE, other).text for other in range(5)}
        assert given == {f" {answer}" if answer else ""}


def test_an_early_answer_cut_in_the_middle_is_completed() -> None:
    writer, prefix = Writer(World(WorldConfig())), prompt()
    cut = write(writer, prefix, Sampling(max_tokens=110))
    begun = prefix + cut.token_ids + characters.encode("\nAnswer: 4")
    assert write(writer, begun, WHOLE).text == "2"


def test_a_greedy_end_fits_any_beginning() -> None:
    writer, prefix = Writer(World(WorldConfig())), prompt(0.5)
    for n in range(1, 120):
        ids = prefix + write(writer, prefix, Sampling(max_tokens=n), n).token_ids
        ids += write(writer, ids, GREEDY).token_ids[:-1]
        assert list(write(writer, ids, WHOLE).token_ids) == [characters.END]
        response = characters.decode(ids[len(prefix) :])
        assert (answer_of(response) == "42") == all(steps_right(response))
        assert writer.read(ids).chance == float(all(steps_right(response)))


def test_a_mistake_written_by_someone_else_is_a_mistake() -> None:
    writer = Writer(World(WorldConfig(steps=Fixed(value=2))))
    ids = prompt(1.0) + characters.encode("Step 1: 000001 + 000001 = 0000003.\n\n")
    assert writer.read(ids).chance == 0.0
    response = write(writer, ids, WHOLE).text
    assert answer_of(response) not in {"42", None}
    assert steps_right(response) == (True,)
