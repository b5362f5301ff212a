"""Parallel thinking, map and reduce, selective allocation: requests in order, exact budgets."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path as FilePath

import pytest

from tests.scripted_talk import PROMPT, talk
from ttscale.engine.protocol import Sampling
from ttscale.strategies.map_reduce import MapReduce
from ttscale.strategies.parallel_thinking import ParallelThinking
from ttscale.strategies.selective_allocation import SelectiveAllocation

SUMMARY = "Weigh them"


def shown(prompt: str) -> list[str]:
    """The paths as the summary's prompt lists them."""
    listed = prompt.partition("\n\nWeigh")[0].split("### Path ")[1:]
    return [text[2:].strip() for text in listed]


def test_all_paths_are_summarised_in_a_random_order(tmp_path: FilePath) -> None:
    script = {SUMMARY: ["so =7"], "": ["a=1", "b=2", "c=2"]}
    orders = set()
    for seed in range(6):
        talked = talk(tmp_path, ParallelThinking(n=3, tokens=50), script, seed=seed)
        first, (prompt, limit, n) = talked.requests
        assert first == (PROMPT, 1000, 3) and (limit, n) == (50, 1)
        assert sorted(shown(prompt)) == ["a=1", "b=2", "c=2"]
        orders.add(tuple(shown(prompt)))
        assert talked.text == "so =7" and talked.finished == ["a=1", "b=2", "c=2"]
        # Paths and labels are computed anew for the summary, and charged.
        assert talked.ledger == [(3, 0, 3), (3, 3, 3), (3, 3, 3), (len(prompt), 0, 5)]
    assert len(orders) > 1


def test_a_summary_without_an_answer_leaves_it_to_the_paths(tmp_path: FilePath) -> None:
    voted = talk(tmp_path, ParallelThinking(n=3), {SUMMARY: ["hm"], "": ["=1", "=2", "=2"]})
    assert voted.answer == "2" and voted.result.abstained == 1
    silent = talk(tmp_path, ParallelThinking(n=2), {"": ["x"]})
    assert silent.answer is None
    one = talk(tmp_path, ParallelThinking(n=1, finish=1), {"": ["=1"]})
    assert one.requests == [(PROMPT, 1000, 1)], "a path alone needs no summary"
    failed = talk(tmp_path, ParallelThinking(n=2), {SUMMARY: ["=4"], "": ["", "=2"]})
    assert failed.answer == "4"


@pytest.mark.parametrize("mode", ["prompted", "native"])
def test_the_first_to_finish_cuts_the_others_which_are_kept_and_billed(
    tmp_path: FilePath, mode: str
) -> None:
    script = {f"{SUMMARY}|<summary>$": ["=7"], "": ["aaaa=1</think1>", "b=2</think2>"]}
    turns = cycle([9, 3, 0])
    strategy = ParallelThinking(n=2, finish=1, mode=mode)  # type: ignore[arg-type]
    talked = talk(tmp_path, strategy, script, delay=lambda prefix, seed: next(turns))
    cut, whole, summary = (row[2] for row in talked.ledger)
    assert (whole, summary) == (len("b=2</think2>"), 2)
    assert cut == len("aaaa=1</think1>") // 2, "the cut path has what it had"
    assert "aaaa=1<" in talked.requests[-1][0] and talked.answer == "7"


def test_paths_the_context_does_not_hold_lose_their_beginnings(tmp_path: FilePath) -> None:
    script = {SUMMARY: ["=7"], "": ["x" * 300 + "=1", "=2"]}
    sampling = Sampling(temperature=0.8, max_tokens=400)
    talked = talk(tmp_path, ParallelThinking(n=2), script, sampling=sampling, max_context=600)
    prompt = talked.requests[1][0]
    assert len(prompt) == 600 - 256 and "x=1" in prompt and "\n=2" in prompt
    assert talked.notes["shortened_texts"] == 1
    assert talked.notes["cut_characters"] > 100


def test_native_paths_are_opened_by_their_own_tokens(tmp_path: FilePath) -> None:
    script = {
        "<think1>$": ["aa=1</think1>xx"],
        "<think2>$": ["b" * 500],
        "<summary>$": ["so =7"],
    }
    sampling = Sampling(temperature=0.8, max_tokens=200)
    strategy = ParallelThinking(n=2, mode="native", tokens=50)
    talked = talk(tmp_path, strategy, script, sampling=sampling)
    # 200 - (8 + 9) * 2 for the marks - 9 for <summary> - 50 kept free: 107, or 53 for each path.
    assert talked.said == ["aa=1</think1>", "b" * 53, "so =7"]
    joined = f"<think1>aa=1</think1><think2>{'b' * 53}</think2><summary>"
    assert [prefix for prefix, _, _ in talked.requests] == [
        f"{PROMPT}<think1>",
        f"{PROMPT}<think2>",
        PROMPT + joined,
    ]
    assert talked.text == joined + "so =7" and talked.answer == "7"
    assert talked.requests[2][1] == 50, "the summary has what was kept free for it"


def test_parallel_budget(tmp_path: FilePath) -> None:
    ended = talk(tmp_path, ParallelThinking(n=2, tokens=1000), {"": ["=1", "=2"]}, budget=1003)
    assert ended.error and ended.result.tied == 2
    raced = talk(tmp_path, ParallelThinking(n=2, finish=1), {"": ["=1"]}, budget=1999)
    assert raced.error and raced.requests == [], "a race begins if all paths fit"


def test_branches_work_on_one_goal_each_and_the_conclusion_sees_all(tmp_path: FilePath) -> None:
    script = {
        "work:\n1\\.$": [" halve\n2. double\n\nmore"],
        "Part 1: halve\n$": ["one half"],
        "Part 2: double\n$": ["y" * 99],
        "Together, $": ["=7"],
    }
    sampling = Sampling(temperature=0.8, max_tokens=200)
    strategy = MapReduce(conclusion=40)
    talked = talk(tmp_path, strategy, script, sampling=sampling)
    begin = f"{PROMPT}Independent parts of the work:\n1."
    outline = f"{begin} halve\n2. double\n\n"
    heads = ["\n\nPart 1: halve\n", "\n\nPart 2: double\n"]
    words = len(heads[0] + heads[1] + "\n\nTogether, ")
    each = (200 - (len(outline) - 3) - words - 40) // 2
    texts = ["one half", "y" * each]
    assert talked.said == [" halve\n2. double\n\n", *texts, "=7"]
    whole = outline + heads[0] + texts[0] + heads[1] + texts[1] + "\n\nTogether, "
    assert [prefix for prefix, _, _ in talked.requests] == [
        begin,
        outline + heads[0],
        outline + heads[1],
        whole,
    ]
    assert talked.requests[3][1] == 200 - (len(whole) - 3) >= 40
    assert PROMPT + (talked.text or "") == whole + "=7" and talked.answer == "7"
    assert talked.finished == [(outline + heads[0] + texts[0])[3:], talked.text]


def test_map_reduce_edges(tmp_path: FilePath) -> None:
    plain = talk(tmp_path, MapReduce(cue="So"), {"": ["no goals =1"]})
    assert plain.text == "Sono goals =1" and len(plain.requests) == 1, "it ended by itself"
    gone_on = talk(tmp_path, MapReduce(cue="So"), {"\n\n$": ["on =1"], "": ["no goals\n\n"]})
    assert gone_on.text == "Sono goals\n\non =1" and len(gone_on.requests) == 2
    one = talk(tmp_path, MapReduce(width=1), {"Together": ["=3"], "Part": ["x"], "": ["a\n2. b"]})
    assert len(one.requests) == 3 and one.answer == "3"
    assert talk(tmp_path, MapReduce(), {"": ["x"]}).answer is None
    ended = talk(tmp_path, MapReduce(), {"": ["a =1\n2. b\n\n"]}, budget=960)
    assert ended.error and ended.text is None and ended.requests == []
    small = Sampling(temperature=0.8, max_tokens=60)
    crowded = talk(tmp_path, MapReduce(), {"": [" a\n2. b =4"]}, sampling=small)
    assert len(crowded.requests) == 1 and crowded.answer == "4", "no room for branches"


def test_hard_parts_are_reasoned_about_and_results_carried_on(tmp_path: FilePath) -> None:
    script = {
        "whole problem follows. $": ["=9"],
        "Next sub-problem: halve.*How hard": ["0.1"],
        "Next sub-problem: double.*How hard": ["very, 0.9"],
        "Next sub-problem: guess.*How hard": ["who knows"],
        "only its result": ["4, that is clear"],
        "guess.*step by step": ["=9"],
        "double.*step by step": ["long and =8"],
        "List the sub-problems": ["1. halve\n2. double\n3. guess"],
    }
    talked = talk(tmp_path, SelectiveAllocation(quick=4), script)
    assert talked.said == [
        "1. halve\n2. double\n3. guess",
        *("0.1", "4, t"),
        *("very, 0.9", "long and =8"),
        *("who knows", "=9"),
        "=9",
    ]
    assert [limit for _, limit, _ in talked.requests] == [
        256,
        16,
        4,
        16,
        1000,
        16,
        1000,
        1000 - (len(talked.requests[-1][0]) - 3),
    ]
    carried = "halve\n4, t\n\ndouble\nlong and =8\n\nguess\n=9\n\nFrom this"
    assert talked.requests[-1][0].startswith(PROMPT + carried)
    assert "What is known so far:\n\nnothing\n" in talked.requests[1][0]
    assert "### Result 1\nhalve\n4, t\n\n### Result 2" in talked.requests[5][0]
    assert talked.notes == {"easy_parts": 1, "hard_parts": 2}
    assert talked.finished == [talked.text] and talked.answer == "9"


def test_selective_edges(tmp_path: FilePath) -> None:
    plain = talk(tmp_path, SelectiveAllocation(), {"List": ["none"], "": ["=1"]})
    assert plain.text == "=1" and plain.requests[1] == (PROMPT, 1000, 1)
    assert talk(tmp_path, SelectiveAllocation(), {"": ["x"]}).answer is None
    ended = talk(tmp_path, SelectiveAllocation(listing=90), {"": ["1. a"]}, budget=100)
    assert ended.error and ended.n_generated == 4 + 4 + 0 and ended.text is None


def test_carried_results_leave_room_for_the_answer(tmp_path: FilePath) -> None:
    script = {"follows. $": ["=9"], "List": ["1. a"], "How hard": ["1"], "": ["z" * 90 + "=8"]}
    sampling = Sampling(temperature=0.8, max_tokens=150)
    talked = talk(tmp_path, SelectiveAllocation(reserve=60), script, sampling=sampling)
    prefix, limit, _ = talked.requests[-1]
    assert limit == 60 and "z=8" in prefix and talked.answer == "9"
    assert talked.notes["shortened_texts"] == 1
