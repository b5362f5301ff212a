"""The simulated model: its tokenizer, its problems, and the law of its solutions."""

from __future__ import annotations

import math
from array import array
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
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
