"""The simulated model: its tokenizer, its problems, and the law of its solutions."""

from __future__ import annotations

import math
from array import array
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ttscale.engine.protocol import Sampling
from ttscale.engine.simulated import (
    BetaSuccess,
    Fixed,
    FixedSuccess,
    Lognormal,
    Truth,
    Uniform,
    WorldConfig,
    characters,
    question,
    simulated_items,
    steps_right,
)
from ttscale.engine.simulated.law import World
from ttscale.engine.simulated.problems import UNMARKED, find_truth
from ttscale.engine.simulated.solution import Draft, Writer
from ttscale.errors import InputError

ROOM = 100_000
WHOLE = Sampling(max_tokens=ROOM)
GREEDY = Sampling(temperature=0.0, max_tokens=ROOM)


def prompt(p: float = 0.4, answer: str = "42", name: str = "x") -> array[int]:
    return characters.encode_chat([{"role": "user", "content": question(Truth(name, p, answer))}])


def write(writer: Writer, prefix: array[int], sampling: Sampling, seed: int = 0) -> Draft:
    return writer.write(writer.read(prefix), sampling, seed, ROOM)


def answer_of(text: str) -> str | None:
    last = text[text.rfind("\n") + 1 :]
    return last.removeprefix("Answer: ") if last.startswith("Answer: ") else None


def rate_is(n_successes: int, n: int, p: float) -> bool:
    """Whether a rate agrees with p; a right program fails this once in 10,000 seeds."""
    return bool(stats.binomtest(n_successes, n, p).pvalue > 1e-4)


# The tokenizer


@given(st.lists(st.integers(0, 0x10FFFF)).map(lambda points: "".join(map(chr, points))))
def test_decode_inverts_encode_for_any_text(text: str) -> None:
    ids = characters.encode(text)
    assert len(ids) == len(text)
    assert characters.decode(ids) == text
    assert characters.decode(ids.tolist()) == text


def test_special_tokens_are_no_text_and_cannot_be_written() -> None:
    ids = characters.encode_chat(
        [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    )
    assert characters.decode(ids) == "ab"
    assert min(characters.END, *characters.ROLES.values()) > 0x10FFFF
    with pytest.raises(InputError, match="role"):
        characters.encode_chat([{"role": "asistant", "content": ""}])


def test_the_reply_is_what_follows_the_last_assistant_turn() -> None:
    treacherous = "\U00040000\x11"  # its bytes hold those of the assistant's token, across two ids
    turns = [
        {"role": "user", "content": treacherous},
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": "sure?"},
    ]
    ids = characters.encode_chat(turns) + characters.encode(treacherous)
    before, reply = characters.split_reply(ids)
    assert characters.decode_bytes(before) == treacherous + "nosure?"
    assert reply == treacherous
    whole = characters.encode(treacherous)
    assert characters.split_reply(whole) == (whole.tobytes(), None)


# Problems


def test_items_carry_their_truth_and_do_not_depend_on_how_many_there_are() -> None:
    success = BetaSuccess(alpha=0.7, beta=2.0, unsolvable=0.3)
    items = simulated_items(50, seed=3, success=success)
    assert items[:20] == simulated_items(20, seed=3, success=success)
    assert items != simulated_items(50, seed=4, success=success)
    for item in items:
        truth, end = find_truth(f"[simulated problem 0: p=1 answer=1] Example.\n{item.question}")
        assert truth == (item.id, item.metadata["p"], item.reference)
        assert end > 0
    ps = [float(str(item.metadata["p"])) for item in simulated_items(4000, success=success)]
    assert rate_is(ps.count(0.0), 4000, 0.3)
    solvable = np.array([p for p in ps if p > 0])
    assert stats.kstest(solvable, stats.beta(0.7, 2.0).cdf).pvalue > 1e-4


def test_success_probabilities_can_be_listed() -> None:
    items = simulated_items(2, success=[0.25, 1.0])
    assert [item.metadata["p"] for item in items] == [0.25, 1.0]
    assert {
        item.metadata["p"] for item in simulated_items(3, success=FixedSuccess(values=(0.5,)))
    } == {0.5}


@pytest.mark.parametrize(
    ("n", "success"), [(0, None), (3, [0.1, 0.2]), (1, [1.5]), (1, []), (1, [math.nan])]
)
def test_bad_benchmarks_are_input_errors(n: int, success: list[float] | None) -> None:
    with pytest.raises(InputError):
        simulated_items(n, success=success)


@pytest.mark.parametrize(
    "marker",
    [
        "[simulated problem 1: p=1.5 answer=2]",
        "[simulated problem 1: p=nan answer=2]",
        "[simulated problem 1: p=half answer=2]",
        "[simulated problem 1: p=0.5]",
    ],
)
def test_a_marker_that_cannot_be_read_is_an_input_error(marker: str) -> None:
    with pytest.raises(InputError, match="marker"):
        Writer(World(WorldConfig())).read(characters.encode(f"{marker} What is the answer?"))


def test_any_other_prompt_is_a_problem_of_its_own() -> None:
    writer = Writer(World(WorldConfig()))
    standing = writer.read(characters.encode("2 + 2 ="))
    assert standing.law.truth == UNMARKED
    assert write(writer, characters.encode("2 + 2 ="), WHOLE).text.startswith("\nStep 1: ")


# The law


@pytest.mark.parametrize(
    ("p", "early_errors"), [(0.0, 0), (0.003, 0), (0.3, 0), (0.3, 2), (0.9, 1), (1.0, 0)]
)
def test_a_solution_is_right_with_its_problem_s_probability(p: float, early_errors: float) -> None:
    config = WorldConfig(early_errors=early_errors, logprobs=False, abstention=0.2, wrong_answers=3)
    writer = Writer(World(config))
    prefix, n = prompt(p), 4000
    drafts = [write(writer, prefix, WHOLE, seed) for seed in range(n)]
    counts = Counter(answer_of(draft.text) for draft in drafts)
    assert rate_is(counts["42"], n, p)
    assert rate_is(counts[None], n, (1 - p) * 0.2)
    for answer, share in zip(("43", "41", "44"), (6 / 11, 3 / 11, 2 / 11), strict=True):
        assert rate_is(counts[answer], n, (1 - p) * 0.8 * share)
    assert set(counts) <= {"42", None, "43", "41", "44"}
    for draft in drafts[:500]:
        assert draft.finish == "stop"
        assert draft.token_ids[-1] == characters.END
        assert characters.decode(draft.token_ids) == draft.text
        assert (answer_of(draft.text) == "42") == all(steps_right(draft.text))


def test_steps_and_lengths_have_their_distributions() -> None:
    config = WorldConfig(
        steps=Uniform(low=2, high=5),
        step_tokens=Lognormal(median=60, sigma=0.4, low=38, high=150),
        logprobs=False,
    )
    world = World(config)
    writer, prefix, n = Writer(world), prompt(0.2), 4000
    texts = [write(writer, prefix, WHOLE, seed).text for seed in range(n)]
    steps = [text.split("\n\n")[:-1] for text in texts]
    n_steps = Counter(map(len, steps))
    for k in range(2, 6):
        assert rate_is(n_steps[k], n, 0.25)
    lengths = np.array([len(step) + 2 for solution in steps for step in solution])
    expected = np.asarray(world.lengths)
    error = lengths.std() / math.sqrt(len(lengths))
    assert abs(lengths.mean() - expected.mean()) < 4 * error
    assert lengths.min() >= 38
    assert lengths.max() <= 150
    # Mistakes fall on steps of every length, in solutions of every length, alike.
    right = np.array([ok for text in texts for ok in steps_right(text)], dtype=float)
    assert abs(np.corrcoef(lengths, right)[0, 1]) < 4 / math.sqrt(len(right))
    solved = np.array([all(steps_right(text)) for text in texts], dtype=float)
    assert abs(np.corrcoef([len(s) for s in steps], solved)[0, 1]) < 4 / math.sqrt(n)


def test_early_errors_come_early_and_keep_the_product() -> None:
    writer = Writer(World(WorldConfig(steps=Fixed(value=4), early_errors=3, logprobs=False)))
    law = writer.read(prompt(0.1)).law
    shares = [threshold / 10**12 for threshold in law.thresholds(4)]
    assert shares == sorted(shares)
    assert math.prod(shares) == pytest.approx(0.1, rel=1e-9)
    assert law.chance(1, 4) == pytest.approx(0.1 / shares[0], rel=1e-9)
    assert law.chance(4, 4) == 1.0


def test_samples_depend_on_seed_prompt_and_model_only() -> None:
    def sample(seed: int = 1, world_seed: int = 0, name: str = "x") -> str:
        writer = Writer(World(WorldConfig(seed=world_seed)))
        return write(writer, prompt(name=name), WHOLE, seed).text

    assert sample() == sample()
    assert len({sample(), sample(seed=2), sample(world_seed=1), sample(name="y")}) == 4
    warm = Sampling(max_tokens=ROOM, temperature=0.3)
    writer = Writer(World(WorldConfig()))
    assert write(writer, prompt(), warm, 1).text == sample()


@pytest.mark.parametrize(
    ("p", "abstention", "expected"),
    [(0.6, 0.0, "42"), (0.3, 0.0, "43"), (0.45, 0.0, "43"), (0.1, 0.9, None), (0.0, 0.0, "43")],
)
def test_temperature_0_gives_the_likeliest_outcome(
    p: float, abstention: float, expected: str | None
) -> None:
    config = WorldConfig(wrong_answers=2, wrong_skew=3.0, abstention=abstention)
    writer = Writer(World(config))
    drafts = [write(writer, prompt(p), GREEDY, seed) for seed in range(3)]
    assert drafts[0] == drafts[1] == drafts[2]
    assert answer_of(drafts[0].text) == expected


# Cutting and continuing


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=8), st.sampled_from([0.1, 0.9]), st.booleans()
)
def test_a_greedy_solution_cut_anywhere_goes_on_as_if_uncut(
    cuts: list[int], p: float, chat: bool
) -> None:
    writer = Writer(World(WorldConfig(steps=Fixed(value=11))))
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


@settings(max_examples=300, deadline=None)
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
    writer = Writer(World(WorldConfig()))
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


def test_an_answer_asked_for_early_is_right_with_the_chance_left() -> None:
    writer = Writer(World(WorldConfig(logprobs=False, steps=Fixed(value=4), abstention=0.1)))
    prefix, n = prompt(0.2), 3000
    counts: Counter[str] = Counter()
    expected = 0.0
    for seed in range(n):
        cut = write(writer, prefix, Sampling(max_tokens=110), seed)
        asked = prefix + cut.token_ids + characters.encode("\nFinal Answer:")
        expected += writer.read(asked).chance
        draft = write(writer, asked, WHOLE, seed)
        assert draft.finish == "stop"
        counts[draft.text] += 1
    assert rate_is(counts[" 42"], n, expected / n)
    assert rate_is(counts[""], n, (1 - expected / n) * 0.1)
    cut = write(writer, prefix, Sampling(max_tokens=110))
    begun = prefix + cut.token_ids + characters.encode("\nAnswer: 4")
    assert write(writer, begun, WHOLE).text == "2"


def test_a_mistake_written_by_someone_else_is_a_mistake() -> None:
    writer = Writer(World(WorldConfig(steps=Fixed(value=2))))
    ids = prompt(1.0) + characters.encode("Step 1: 000001 + 000001 = 0000003.\n\n")
    assert writer.read(ids).chance == 0.0
    response = write(writer, ids, WHOLE).text
    assert answer_of(response) not in {"42", None}
    assert steps_right(response) == (True,)


# Log-probabilities and settings


def test_logprobs_tell_right_steps_from_wrong_ones_by_the_gap() -> None:
    config = WorldConfig(logprob_gap=0.2)
    writer, prefix = Writer(World(config)), prompt(0.2)
    means: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(1500):
        draft = write(writer, prefix, Sampling(max_tokens=ROOM, step=("\n\n",)), seed)
        assert max(draft.logprobs) <= 0
        means[steps_right(draft.text)[0]].append(float(np.mean(draft.logprobs)))
    for right, level in ((True, -0.25), (False, -0.45)):
        sample = np.asarray(means[right])
        assert abs(sample.mean() - level) < 5 * sample.std() / math.sqrt(len(sample)) + 0.004
    assert not write(Writer(World(WorldConfig(logprobs=False))), prefix, WHOLE).logprobs


def test_long_steps_have_as_many_logprobs_as_tokens() -> None:
    writer = Writer(World(WorldConfig(steps=Fixed(value=1), step_tokens=Fixed(value=60_000))))
    draft = write(writer, prompt(), WHOLE)
    assert len(draft.token_ids) == len(draft.logprobs) > 60_000


@pytest.mark.parametrize(
    "fields",
    [
        {"step_tokens": Fixed(value=20)},
        {"step_tokens": Lognormal(median=40, sigma=0.3)},
        {"steps": Fixed(value=2000)},
    ],
)
def test_impossible_worlds_are_input_errors(fields: dict[str, object]) -> None:
    with pytest.raises(InputError, match="simulated"):
        WorldConfig.model_validate(fields)


def test_a_distribution_s_ends_are_in_order() -> None:
    with pytest.raises(InputError, match="low end"):
        Uniform(low=3, high=2)
