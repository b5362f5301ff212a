"""Verifiers that ask a model: the judge and the tournament."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import NamedTuple

import pytest

from tests.scripted import ScriptedEngine, make_problem, make_session
from ttscale import registry
from ttscale.context import Context
from ttscale.engine.protocol import Sampling
from ttscale.errors import InputError
from ttscale.record.journal import Journal
from ttscale.selection.verdicts import fill, read_word
from ttscale.strategy import Verifier
from ttscale.trace import Path
from ttscale.verifiers.judge import Judge
from ttscale.verifiers.tournament import Tournament, pairs

REPLIES = ("so =2", "no idea", "well, =2", "=3", "hm =2")
ASKS = "{question}|{response}|?"
DUEL = "{question}|{first}|{second}|?"


class Judged(NamedTuple):
    """What came of a scoring: scores by response, and what the model saw and cost."""

    scores: dict[str, float]
    engine: ScriptedEngine
    notes: Counter[str]
    ledger: list[dict[str, object]]


def judge(
    tmp_path: FilePath,
    verifier: Verifier,
    *,
    first: Callable[[str], Mapping[str, float]] = lambda prompt: {"Y": 0.5, "N": 0.5},
    verdict: Callable[[str, int], str] = lambda prompt, seed: "Yes",
    replies: tuple[str, ...] = REPLIES,
    other: ScriptedEngine | None = None,
    name: str = "journal",
) -> Judged:
    """Score one sample of each reply."""

    def reply(prefix: str, seed: int) -> str:
        return verdict(prefix, seed) if "?" in prefix else replies[seed % len(replies)]

    engine = ScriptedEngine(reply, first=first)

    async def main() -> Judged:
        journal = Journal(tmp_path / f"{name}.sqlite")
        session = make_session(engine, journal)
        session.engines |= {} if other is None else {"other": other}
        ctx = Context(
            session, make_problem(), "arm", Sampling(max_tokens=40, stop=("e",)), verifier
        )
        paths = await ctx.sample(ctx.problem.root, n=len(replies))
        scores = await ctx.score(paths)
        journal.close()
        found = {path.response: score for path, score in zip(paths, scores, strict=True)}
        rows = [row for row in session.ledger.table().to_pylist() if row["kind"] == "score"]
        return Judged(found, engine, ctx.notes, rows)

    return asyncio.run(main())


def right_if_2(prompt: str) -> Mapping[str, float]:
    return {"Y": 0.6, "N": 0.2} if "=2" in prompt else {"Y": 0.1, "N": 0.3}


def test_one_pass_reads_the_share_of_yes(tmp_path: FilePath) -> None:
    found = judge(tmp_path, Judge(prompt=ASKS), first=right_if_2)
    expected = {text: 0.75 if "=2" in text else 0.25 for text in REPLIES}
    assert found.scores == pytest.approx(expected)
    asked = found.engine.requests[1:]
    assert {text for text, *_ in asked} == {f"1+1|{reply}|?" for reply in REPLIES}
    for _, sampling, _, n in asked:
        assert n == 1 and (sampling.max_tokens, sampling.temperature) == (1, 0.0)
        assert not sampling.stop
        assert sampling.watch == (ord("Y"), ord("N")), "a blank before a word says nothing"
    assert found.notes["undecided_verdicts"] == 2, "P(Yes) + P(No) is 0.4"


def test_verdicts_are_averaged_and_unread_ones_left_out_and_counted(tmp_path: FilePath) -> None:
    seen: Counter[str] = Counter()

    def verdict(prompt: str, seed: int) -> str:
        seen[prompt] += 1
        if "no idea" in prompt:
            return "hard to say"
        return ("Yes", "yes, so it is", "Not yes but No", "perhaps")[seen[prompt] % 4]

    found = judge(tmp_path, Judge(verdicts=4, prompt=ASKS), verdict=verdict)
    expected = {text: 0.0 if text == "no idea" else 2 / 3 for text in REPLIES}
    assert found.scores == pytest.approx(expected)
    assert found.notes["unread_verdicts"] == 4 + 4
    assert {request[3] for request in found.engine.requests[1:]} == {4}


def test_every_verdict_is_billed_as_scoring(tmp_path: FilePath) -> None:
    found = judge(tmp_path, Judge(verdicts=3, prompt=ASKS))
    assert len(found.ledger) == 3 * len(REPLIES)
    assert sum(int(str(row["n_generated_tokens"])) for row in found.ledger) == 9 * len(REPLIES)
    shared = [row["n_shared_tokens"] == row["n_prompt_tokens"] for row in found.ledger]
    assert sum(shared) == 2 * len(REPLIES), "of three verdicts two share the whole prompt"


def test_a_second_session_pays_for_nothing(tmp_path: FilePath) -> None:
    once = judge(tmp_path, Judge(prompt=ASKS), first=right_if_2)
    again = judge(tmp_path, Judge(prompt=ASKS), first=lambda prompt: {})
    assert again.scores == once.scores and not again.engine.requests


def test_equal_responses_are_judged_once(tmp_path: FilePath) -> None:
    found = judge(tmp_path, Judge(prompt=ASKS), replies=("=2", "=2", "=3"))
    assert len(found.engine.requests) == 1 + 2


def test_another_model_judges_and_is_billed_by_its_name(tmp_path: FilePath) -> None:
    other = ScriptedEngine(lambda prefix, seed: "No", first=right_if_2, model="other model")
    found = judge(tmp_path, Judge(prompt=ASKS, model="other"), other=other)
    assert found.scores["=3"] == pytest.approx(0.25)
    assert len(found.engine.requests) == 1 and len(other.requests) == len(REPLIES)
    assert {row["model"] for row in found.ledger} == {"other model"}


def test_thinking_is_not_shown_and_braces_are_left_alone(tmp_path: FilePath) -> None:
    prompt = "{question} {response} \\frac{a}{b} ?"
    found = judge(tmp_path, Judge(prompt=prompt), replies=("<think>hm</think>={response}",))
    assert found.engine.requests[1][0] == "1+1 ={response} \\frac{a}{b} ?"


def test_what_does_not_fit_loses_its_beginning_and_nothing_fits_scores_nan(
    tmp_path: FilePath,
) -> None:
    long = "x" * 30 + "=2"
    short = ScriptedEngine(lambda prefix, seed: "No", first=right_if_2, max_context=24)
    asks = Judge(prompt=ASKS, model="other")
    found = judge(tmp_path, asks, replies=(long, "=3"), other=short)
    assert {request[0] for request in short.requests} == {"1+1|… xxxxxxxxxxxxx=2|?", "1+1|=3|?"}
    assert found.notes["shortened_texts"] == 1 and found.notes["cut_characters"] == 32 - 17
    tiny = ScriptedEngine(lambda prefix, seed: "No", max_context=5, fingerprint="tiny")
    unfit = judge(tmp_path, asks, replies=("=2",), other=tiny, name="unfit")
    assert math.isnan(unfit.scores["=2"]) and unfit.notes["unfitting_prompts"] == 1


def test_neither_word_is_no_score(tmp_path: FilePath) -> None:
    found = judge(tmp_path, Judge(prompt=ASKS), first=lambda prompt: {"M": 1.0})
    assert all(map(math.isnan, found.scores.values()))
    assert found.notes["undecided_verdicts"] == len(REPLIES)


def test_a_prompt_needs_its_fields_and_the_error_says_which() -> None:
    with pytest.raises(InputError, match=r"no \{response\}"):
        registry.build("verifiers", "judge", {"prompt": "{question}"}, where="verifier")
    with pytest.raises(InputError, match=r"no \{second\}"):
        prompt = "{question} {first}"
        registry.build("verifiers", "tournament", {"prompt": prompt}, where="verifier")


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Yes", True),
        ("no.", False),
        ("Yes, at first sight. But no: No", False),
        ("Nothing, yesterday", None),
        ("<think>No</think> **Yes**", True),
        ("<think>No", None),
        ("", None),
    ],
)
def test_the_last_word_counts(reply: str, verdict: bool | None) -> None:
    assert read_word(reply, ("Yes", "No")) is verdict


def test_fields_are_filled_once() -> None:
    filled = fill("{a}{b}{{a}}{c}", {"a": "{b}", "b": "x"})
    assert filled == "{b}x{{b}}{c}"


def strength(prompt: str) -> Mapping[str, float]:
    """The greater number after '=' wins; the first place has an advantage."""
    _, one, other, _ = prompt.split("|")
    gap = int(one.partition("=")[2] or 0) - int(other.partition("=")[2] or 0)
    first = 1 / (1 + math.exp(-gap)) * 0.8 + 0.2
    return {"A": first, "B": 1 - first}


def test_a_tournament_ranks_by_wins_in_both_orders(tmp_path: FilePath) -> None:
    replies = ("=1", "=4", "=2", "=3")
    found = judge(tmp_path, Tournament(opponents=3, prompt=DUEL), first=strength, replies=replies)
    ranked = sorted(found.scores, key=lambda text: found.scores[text])
    assert ranked == ["=1", "=2", "=3", "=4"]
    assert math.fsum(found.scores.values()) == pytest.approx(2), "what one wins another loses"
    assert len(found.engine.requests) == 1 + 4 * 3
    assert found.scores["=1"] + found.scores["=4"] == pytest.approx(1), "both orders even out"


def test_a_tournament_without_rivals_is_a_draw(tmp_path: FilePath) -> None:
    alone = judge(tmp_path, Tournament(prompt=DUEL), replies=("=1",))
    assert alone.scores == {"=1": 0.5} and len(alone.engine.requests) == 1
    equal = judge(tmp_path, Tournament(prompt=DUEL), replies=("=1", "=1"), name="equal")
    assert equal.scores == {"=1": 0.5}


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("opponents", [1, 2, 3, 10])
def test_all_play_equally_often_and_no_pair_twice(n: int, opponents: int) -> None:
    found = pairs(n, opponents)
    assert len(set(found)) == len(found) and all(i < j for i, j in found)
    played = Counter(player for pair in found for player in pair)
    assert [played[i] for i in range(n)] == [min(2 * opponents, n - 1)] * n


def test_an_engine_that_watches_nothing_says_what_to_do(tmp_path: FilePath) -> None:
    class Blind(ScriptedEngine):
        def _resolve(self, future, text, finish, watched=None, top_logprobs=0) -> None:  # type: ignore[no-untyped-def]
            super()._resolve(future, text, finish)

    other = Blind(lambda prefix, seed: "Yes")
    with pytest.raises(InputError, match="sample verdicts instead"):
        judge(tmp_path, Judge(prompt=ASKS, model="other"), other=other)
    with pytest.raises(InputError, match="no model that generates of this name"):
        judge(tmp_path, Judge(prompt=ASKS, model="nobody"), name="nobody")


def test_scores_do_not_depend_on_the_order_of_paths(tmp_path: FilePath) -> None:
    verifier = Tournament(opponents=1, prompt=DUEL)

    async def main(flip: bool) -> dict[str, float]:
        journal = Journal(tmp_path / f"{flip}.sqlite")
        engine = ScriptedEngine(lambda prefix, seed: f"={seed % 9}", first=strength)
        ctx = Context(make_session(engine, journal), make_problem(), "arm", Sampling(), verifier)
        paths: list[Path] = await ctx.sample(ctx.problem.root, n=6)
        scores = await ctx.score(paths[::-1] if flip else paths)
        journal.close()
        given = dict(zip(paths[::-1] if flip else paths, scores, strict=True))
        return {path.response: given[path] for path in paths}

    assert asyncio.run(main(True)) == asyncio.run(main(False))
