"""The selecting strategies: what they ask for, in order, and what they answer, worked by hand."""

from __future__ import annotations

import math
from pathlib import Path as FilePath

import pytest

from tests.scripted_talk import PROMPT, talk
from ttscale.engine.protocol import Sampling
from ttscale.errors import InputError
from ttscale.strategies.checklist_selection import ChecklistSelection
from ttscale.strategies.committee import Committee
from ttscale.strategies.generative_selection import GenerativeSelection
from ttscale.strategies.hedged import Hedged
from ttscale.strategies.minimum_bayes_risk import MinimumBayesRisk
from ttscale.strategies.self_certainty import SelfCertainty
from ttscale.strategies.shortest_majority import ShortestMajority

ALL = [
    ShortestMajority(n=3),
    SelfCertainty(n=3),
    Hedged(n=3),
    MinimumBayesRisk(n=3),
    MinimumBayesRisk(n=3, utility="text"),
    GenerativeSelection(n=3),
    ChecklistSelection(n=3),
    Committee(n=3),
]


def sure(text: str) -> list[float]:
    return [2.0] * len(text)


@pytest.mark.parametrize("strategy", ALL, ids=lambda strategy: type(strategy).__name__)
def test_where_all_agree_nobody_is_asked_and_where_nobody_answers_there_is_no_answer(
    tmp_path: FilePath, strategy
) -> None:
    agreed = talk(tmp_path, strategy, {"": ["a=1", "bc=1", "=1"]}, sure=sure)
    assert agreed.answer == "1" and agreed.result.tied == 1
    assert {prefix for prefix, _, _ in agreed.requests} == {PROMPT}
    assert sum(n for _, _, n in agreed.requests) == 3
    silent = talk(tmp_path, strategy, {"": ["a", "bc", ""]}, sure=sure)
    assert silent.text is None and silent.result.abstained == 3
    assert {prefix for prefix, _, _ in silent.requests} == {PROMPT}


@pytest.mark.parametrize("strategy", ALL, ids=lambda strategy: type(strategy).__name__)
def test_the_budget_ends_them_with_what_there_is(tmp_path: FilePath, strategy) -> None:
    ended = talk(tmp_path, strategy, {"": ["a=1", "b=2", "c=2"]}, sure=sure, budget=1004)
    assert ended.error is not None and ended.n_generated == 6, "two samples fit, the third may not"
    assert ended.answer in {"1", "2"} and ended.result.tied == 2


def test_shortest_majority_prefers_short_ways(tmp_path: FilePath) -> None:
    # Answer 1: 3 votes of mean length 40; answer 2: 2 votes of length 3.
    script = {"": ["x" * 38 + "=1"] * 3 + ["a=2"] * 2}
    talked = talk(tmp_path, ShortestMajority(n=5), script)
    assert talked.requests == [(PROMPT, 1000, 5)]
    assert talked.text == "a=2"
    first, second = 3 / math.log(40), 2 / math.log(3)
    assert talked.result.score == pytest.approx(second / (first + second))
    # At length 8 the majority is ahead: 3 / log 8 = 1.44 against 2 / log 3 = 1.82; at 4, 2.16.
    assert talk(tmp_path, ShortestMajority(n=5), {"": ["xx=1"] * 3 + ["a=2"] * 2}).text == "xx=1"


def test_self_certainty_votes_by_rank(tmp_path: FilePath) -> None:
    script = {"": ["a=1", "b=1", "c=2", "d", "e=3"]}
    level = {"a": 1.0, "b": 1.5, "c": 5.0, "d": 9.0, "e": 2.0}

    def sure(text: str) -> list[float]:
        return [level[text[0]], *[3.0] * (len(text) - 1)]

    # Ranks of the answers: d 5, c 4, e 3, b 2, a 1; answer 1 has 3 of 15, answer 2 has 4.
    talked = talk(tmp_path, SelfCertainty(n=5, power=1.0), script, sure=sure)
    assert talked.text == "c=2"
    assert talked.result.score == pytest.approx(4 / 15)
    assert talked.result.abstained == 1
    # With power 0 a vote is a vote.
    assert talk(tmp_path, SelfCertainty(n=5, power=0), script, sure=sure).text == "a=1"
    tied = talk(tmp_path, SelfCertainty(n=2, power=1), {"": ["a=1", "a=2"]}, sure=sure)
    assert tied.result.tied == 2


def test_self_certainty_needs_an_engine_that_tells_it(tmp_path: FilePath) -> None:
    with pytest.raises(InputError, match="tells none"):
        talk(tmp_path, SelfCertainty(n=2), {"": ["=1", "=2"]}, sure=lambda text: [])
    assert talk(tmp_path, SelfCertainty(n=1), {"": ["=1"]}).answer == "1"


def test_hedged_adds_the_greedy_solution(tmp_path: FilePath) -> None:
    talked = talk(tmp_path, Hedged(n=3), {"": ["=1", "=2"]}, greedy="g=2")
    assert talked.said == ["=1", "=2", "g=2"]
    assert talked.answer == "2" and talked.result.score == pytest.approx(2 / 3)
    assert talk(tmp_path, Hedged(n=1), {"": ["=1"]}, greedy="g=2").said == ["=1"]


def test_minimum_bayes_risk_by_answers_is_the_majority(tmp_path: FilePath) -> None:
    talked = talk(tmp_path, MinimumBayesRisk(n=4), {"": ["=1", "=2", "x", "a=2"]})
    assert talked.text == "=2" and talked.result.score == pytest.approx(0.5)
    assert talked.result.abstained == 1
    tied = talk(tmp_path, MinimumBayesRisk(n=2), {"": ["=1", "=2"]})
    assert tied.result.tied == 2 and tied.result.score == pytest.approx(0.5)


def test_evidence_in_other_languages_counts_and_cannot_win(tmp_path: FilePath) -> None:
    script = {"French": ["=1", "=3"], "Korean": ["=1", "=3"], "": ["=1", "=2", "b=2"]}
    strategy = MinimumBayesRisk(n=3, languages=("French", "Korean"), evidence=2)
    talked = talk(tmp_path, strategy, script)
    assert [prefix for prefix, _, _ in talked.requests] == [
        PROMPT,
        f"{PROMPT}\n\nThink and answer in French.",
        f"{PROMPT}\n\nThink and answer in Korean.",
    ]
    # Of 7 pieces of evidence 3 say 1, and 2 say 2.
    assert talked.answer == "1" and talked.result.score == pytest.approx(3 / 7)
    assert len(talked.finished) == 3, "evidence is no sample of the problem's prompt"


def test_minimum_bayes_risk_by_text_takes_the_most_central(tmp_path: FilePath) -> None:
    script = {"": ["the cat sat =1", "the cat sad =2", "the dog sat =3", "zzzz =4"]}
    talked = talk(tmp_path, MinimumBayesRisk(n=4, utility="text"), script)
    assert talked.answer == "1"


def test_generative_selection_shows_the_solutions_in_an_order_of_its_own(
    tmp_path: FilePath,
) -> None:
    script = {"Best: 1": ["I prefer 2", "who knows", "Best: 2"], "": ["a=1", "b", "c=2", "d=1"]}
    talked = talk(tmp_path, GenerativeSelection(n=4, verdicts=3, tokens=20), script)
    first, *judged = talked.requests
    assert first == (PROMPT, 1000, 4)
    assert [(limit, n) for _, limit, n in judged] == [(20, 1)] * 3
    shown = [[part[2:] for part in prefix.split("### Solution ")[1:]] for prefix, _, _ in judged]
    assert all(
        sorted(text.split("\n")[0] for text in texts) == ["a=1", "c=2", "d=1"] for texts in shown
    ), "a solution without an answer is not shown"
    chosen = [texts[1].split("\n")[0] for texts in (shown[0], shown[2])]
    assert talked.text in chosen and talked.notes == {"unread_verdicts": 1}
    assert talked.n_generated == 3 + 1 + 3 + 3 + len("I prefer 2" + "who knows" + "Best: 2")


def test_an_unread_verdict_leaves_the_majority(tmp_path: FilePath) -> None:
    script = {"Best: 1": ["no idea"], "": ["a=1", "c=2", "d=2"]}
    for strategy in (GenerativeSelection(n=3), ChecklistSelection(n=3, hedged=False)):
        talked = talk(tmp_path, strategy, script)
        assert talked.text == "c=2" and talked.notes == {"unread_verdicts": 1}


def test_solutions_too_long_for_the_judge_lose_their_beginnings_and_that_is_noted(
    tmp_path: FilePath,
) -> None:
    script = {"Best: 1": ["2"], "": ["x" * 600 + "=1", "yy=2"]}
    sampling = Sampling(temperature=0.8, max_tokens=700)
    whole = talk(tmp_path, GenerativeSelection(n=2), script, sampling=sampling)
    assert not whole.notes
    n_prompt = len(whole.requests[1][0])
    talked = talk(
        tmp_path, GenerativeSelection(n=2), script, sampling=sampling, max_context=n_prompt - 50
    )
    (prompt, limit, _) = talked.requests[1]
    assert len(prompt) == n_prompt - 50 - 256 and limit == 256
    assert "… x" in prompt and "x=1" in prompt and "yy=2" in prompt
    assert talked.notes == {"shortened_texts": 1, "cut_characters": 306}


def test_the_checklist_is_in_the_one_call(tmp_path: FilePath) -> None:
    script = {"Best: 1": ["Best: 1"], "": ["a=1", "c=2"]}
    strategy = ChecklistSelection(n=3, checklist=("is short",), tokens=9)
    talked = talk(tmp_path, strategy, script, greedy="")
    *_, (prompt, limit, n) = talked.requests
    assert "- is short\n" in prompt and (limit, n) == (9, 1)
    first = prompt.partition("### Solution 1\n")[2].partition("\n")[0]
    assert talked.text == first


def test_a_committee_votes_on_messages(tmp_path: FilePath) -> None:
    script = {"In short": ["=2", "=7 is what I think", "=2"], "": ["a=1", "b=1", "c=2"]}
    talked = talk(tmp_path, Committee(n=3, width=3, message=4), script)
    cue = "\n\nIn short, the answer is"
    assert talked.requests == [
        (PROMPT, 1000, 3),
        (f"{PROMPT}a=1{cue}", 4, 1),
        (f"{PROMPT}b=1{cue}", 4, 1),
        (f"{PROMPT}c=2{cue}", 4, 1),
    ]
    assert talked.text == f"a=1{cue}=2" and talked.result.score == pytest.approx(2 / 3)
    assert talked.notes == {"unfaithful": 2}, "two messages are not what their solutions say"
    assert talked.n_generated == 3 * 3 + 2 + 4 + 2
    # The cue is computed, not generated; the last token of a solution was never fed back.
    assert talked.ledger[3] == (3 + 3 + len(cue), 3 + 3 - 1, 2)
    assert len(talk(tmp_path, Committee(n=1, message=4), script).requests) == 1


def test_a_tree_may_elect_a_minority(tmp_path: FilePath) -> None:
    script = {"": ["=0", "=0", "=1", "=0", "=0", "=1", "=1", "=1", "=1"]}
    assert talk(tmp_path, Committee(n=9, width=3), script).answer == "0"
    assert talk(tmp_path, Committee(n=9, width=9), script).answer == "1"
