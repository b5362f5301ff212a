"""Budget forcing, revision, refinement and repetition: requests in order, exact token budgets."""

from __future__ import annotations

from pathlib import Path as FilePath

import pytest

from tests.contract.playing import experiment, play
from tests.scripted_talk import PROMPT, talk
from tests.scripted_tree import Table
from ttscale.engine.protocol import Sampling
from ttscale.errors import InputError
from ttscale.strategies.budget_forcing import BudgetForcing
from ttscale.strategies.majority_vote import MajorityVote
from ttscale.strategies.repeated import Repeated
from ttscale.strategies.self_refine import SelfRefine
from ttscale.strategies.sequential_revision import SequentialRevision
from ttscale.strategy import Strategy

CLOSE = "</think>"
HUNDRED = Sampling(temperature=0.8, max_tokens=100)


def test_thinking_is_made_to_go_on_and_then_closed(tmp_path: FilePath) -> None:
    script = {f"{CLOSE}$": ["=2"], "Wait$": ["hm</think>", "so</think>"], "": ["abcd</think>xyz"]}
    strategy = BudgetForcing(waits=2, answer=10)
    talked = talk(tmp_path, strategy, script, sampling=HUNDRED)
    assert talked.requests == [
        (PROMPT, 100, 1),
        (f"{PROMPT}abcdWait", 92, 1),
        (f"{PROMPT}abcdWaithmWait", 86, 1),
        (f"{PROMPT}abcdWaithmWaitso{CLOSE}", 76, 1),
    ]
    assert talked.text == f"abcdWaithmWaitso{CLOSE}=2" and talked.answer == "2"
    # Closing marks that were generated and taken off are billed; words put in are not.
    assert talked.n_generated == (4 + 8) + (2 + 8) + (2 + 8) + 2
    assert talked.notes == {"thinking_tokens": 16}
    assert talked.finished == [talked.text]


def test_thinking_is_cut_at_the_maximum(tmp_path: FilePath) -> None:
    script = {f"{CLOSE} A:$": ["=2"], "": ["abcdefghij</think>"]}
    strategy = BudgetForcing(maximum=6, waits=3, cue=" A:")
    talked = talk(tmp_path, strategy, script)
    assert talked.said == ["abcdef", "=2"], "a word put in would be over the maximum"
    assert talked.text == f"abcdef{CLOSE} A:=2" and talked.notes == {"thinking_tokens": 6}


def test_every_token_of_the_thinking_counts(tmp_path: FilePath) -> None:
    # 12 tokens: 3 are kept of the first segment, Wait makes 7, 5 are left for the next.
    script = {f"{CLOSE}$": ["=2"], "Wait$": ["efghijk</think>"], "": ["abc</think>"]}
    talked = talk(tmp_path, BudgetForcing(maximum=12, waits=5), script)
    assert talked.said == ["abc</think>", "efghi", "=2"]
    assert talked.text == f"abcWaitefghi{CLOSE}=2" and talked.notes == {"thinking_tokens": 12}


def test_the_minimum_holds_as_far_as_the_model_goes_on(tmp_path: FilePath) -> None:
    script = {f"{CLOSE}$": ["=2"], "": ["ab</think>"]}
    talked = talk(tmp_path, BudgetForcing(minimum=9), script)
    assert talked.text == f"abWaitabWaitab{CLOSE}=2"
    silent = talk(tmp_path, BudgetForcing(minimum=9, wait=""), {f"{CLOSE}$": ["=2"], "": [CLOSE]})
    assert silent.text == f"{CLOSE}=2", "without a word a silent model says nothing more"


def test_a_model_without_marks_is_asked_for_its_answer(tmp_path: FilePath) -> None:
    script = {"Answer: $": ["=3"], "": ["so =2"]}
    strategy = BudgetForcing(close="", cue="\nAnswer: ", waits=1, wait=" Wait,")
    talked = talk(tmp_path, strategy, script)
    assert talked.text == "so =2 Wait,so =2\nAnswer: =3" and talked.answer == "3"
    assert talked.finished == ["so =2", "so =2 Wait,so =2", talked.text]


def test_a_sweep_of_lengths_samples_its_trace_once(tmp_path: FilePath) -> None:
    script = {"A:$": ["=2"], "": ["abcdefgh"]}
    texts = []
    for n in (2, 5, 50):
        strategy = BudgetForcing(truncate=n, close="", cue=" A:")
        talked = talk(tmp_path, strategy, script)
        texts.append(talked.text)
        assert talked.requests[0] == (PROMPT, 1000, 1), "whatever the length, the same call"
        assert talked.notes == {"thinking_tokens": min(n, 8)}
        # What was fed back of the cut trace is shared: all but its last token.
        n_prompt = 3 + min(n, 8) + 3
        assert talked.ledger[1] == (n_prompt, 3 + min(n, 8) - 1, 2)
    assert texts == ["ab A:=2", "abcde A:=2", "abcdefgh A:=2"]
    lengths = {"name": "budget_forcing", "close": "", "cue": "\n\nAnswer:", "answer": 200}
    journal = tmp_path / "journal"
    for fresh, n in enumerate((40, 80)):
        played = play(experiment(tmp_path, {**lengths, "truncate": n}), journal)
        assert played is not None
        assert played.engine_streams == (6 if fresh else 12), "the traces are in the journal"


def test_what_cannot_be_forced_is_told(tmp_path: FilePath) -> None:
    with pytest.raises(InputError, match="nothing tells"):
        BudgetForcing(close="")
    with pytest.raises(InputError, match="more than the most"):
        BudgetForcing(minimum=5, maximum=4)
    with pytest.raises(InputError, match="no room to think"):
        talk(tmp_path, BudgetForcing(answer=95), {"": ["x"]}, sampling=HUNDRED)
    ended = talk(tmp_path, BudgetForcing(waits=1), {"": ["abcd</think>"]}, budget=1000)
    assert ended.error and ended.text is None and ended.n_generated == 12


def test_words_the_model_cannot_write_are_told(tmp_path: FilePath, monkeypatch) -> None:
    from tests.scripted import ScriptedEngine

    def narrow(self, text: str):
        return self.encode(text.replace("Ж", "?"))

    monkeypatch.setattr(ScriptedEngine, "encode_more", narrow)
    with pytest.raises(InputError, match="cannot write"):
        talk(tmp_path, BudgetForcing(waits=1, wait="Ж"), {"": ["ab</think>"]})


def test_chains_revise_with_the_last_attempts_in_view(tmp_path: FilePath) -> None:
    script = {
        "Attempt 2": ["e=1", "f=5"],
        "Attempt 1": ["c=2", "d=2"],
        "": ["<think>no</think>a=1", "b"],
    }
    talked = talk(tmp_path, SequentialRevision(n=6, chains=2, context=2), script)
    assert [n for _, _, n in talked.requests] == [2, 1, 1, 1, 1]
    assert talked.said[2:] == ["c=2", "d=2", "e=1", "f=5"]
    seen = [prefix for prefix, _, _ in talked.requests]
    assert "### Attempt 1\na=1\n" in seen[1] and "no</think>" not in seen[1]
    assert "### Attempt 1\nb\n" in seen[2]
    assert "### Attempt 1\na=1\n\n### Attempt 2\nc=2" in seen[3]
    assert talked.answer in {"1", "2"} and talked.result.tied == 2
    assert talked.result.abstained == 1 and talked.result.score == pytest.approx(2 / 6)
    longer = talk(tmp_path, SequentialRevision(n=3, chains=1, context=1), script)
    assert "### Attempt 1\nc=2" in longer.requests[2][0], "only the last attempt is shown"


def test_revisions_may_be_scored(tmp_path: FilePath) -> None:
    script = {"Attempt 1": ["b=2"], "": ["a=1"]}
    verifier = Table({"a =1": 0, "a=1": 0.9, "b=2": 0.4})
    best = talk(tmp_path, SequentialRevision(n=2, chains=1, pick="best"), script, verifier=verifier)
    assert best.text == "a=1" and best.result.score == 0.9


def test_revision_edges(tmp_path: FilePath) -> None:
    script = {"Attempt": ["x"], "": ["x"]}
    assert talk(tmp_path, SequentialRevision(n=4), script).text is None
    with pytest.raises(InputError, match="one length"):
        SequentialRevision(n=4, chains=3)
    ended = talk(tmp_path, SequentialRevision(n=4, chains=2), {"": ["=1"]}, budget=1003)
    assert ended.error and ended.answer == "1" and ended.finished == ["=1", "=1"]


def test_refinement_takes_turns_until_nothing_is_left_to_mend(tmp_path: FilePath) -> None:
    script = {
        "anew, mending": ["b=2"],
        "b=2.*Check this": ["NOTHING TO MEND"],
        "Check this": ["the sum is wrong"],
        "": ["a=1"],
    }
    talked = talk(tmp_path, SelfRefine(rounds=5, tokens=20), script)
    assert talked.said == ["a=1", "the sum is wrong", "b=2", "NOTHING TO MEND"]
    assert [limit for _, limit, _ in talked.requests] == [1000, 20, 1000, 20]
    told = talked.requests[2][0]
    assert "### Solution 1\na=1" in told and "Feedback on it:\nthe sum is wrong" in told
    assert talked.answer == "2" and talked.finished == ["a=1"]
    spoilt = talk(tmp_path, SelfRefine(rounds=1), {"anew": ["x"], "Check": ["no"], "": ["a=1"]})
    assert spoilt.answer == "1" and spoilt.result.abstained == 1
    silent = talk(tmp_path, SelfRefine(rounds=1), {"": ["x"]})
    assert silent.answer is None
    ended = talk(tmp_path, SelfRefine(tokens=500), {"": ["a=1"]}, budget=1003)
    assert ended.error and ended.answer == "1" and len(ended.requests) == 2


def test_a_majority_over_budget_forced_traces(tmp_path: FilePath) -> None:
    script = {f"{CLOSE}$": ["=1", "=2", "=2"], "": ["a</think>", "b</think>", "c</think>"]}
    talked = talk(tmp_path, Repeated(of=BudgetForcing(), n=3), script)
    assert talked.said == ["a</think>", "b</think>", "c</think>", "=1", "=2", "=2"]
    assert talked.text == f"b{CLOSE}=2" and talked.result.score == pytest.approx(2 / 3)
    assert talked.n_generated == 3 * 9 + 3 * 2 and talked.notes == {"thinking_tokens": 3}


@pytest.mark.parametrize("slots", [1, 64])
def test_composed_strategies_are_configured_in_yaml(tmp_path: FilePath, slots: int) -> None:
    inner = {"name": "budget_forcing", "close": "", "cue": "\n\nAnswer:", "maximum": 200}
    entry = {"name": "repeated", "n": 3, "of": inner}
    played = play(experiment(tmp_path, entry, slots=slots), tmp_path / "journal")
    assert played is not None and played.engine_streams == 6 * 3 * 2
    assert [outcome.notes["thinking_tokens"] for outcome in played.outcomes]
    best = {
        "name": "repeated",
        "of": {"name": "sequential_revision", "n": 2, "chains": 1},
        "n": 2,
        "pick": "best",
        "verifier": "mean_logprob",
    }
    scored = play(experiment(tmp_path, best, slots=slots), tmp_path / "journal2")
    assert scored is not None
    assert all(outcome.status == "answered" for outcome in scored.outcomes)


def test_what_cannot_be_composed_is_told(tmp_path: FilePath) -> None:
    for inner, message in (
        ({"name": "best_of_n", "n": 2}, "no verifier"),
        ({"name": "nonesuch"}, "no strategy"),
        ({"n": 3}, "needs a name"),
        ({"name": "best_of_n", "width": 2}, "no field"),
    ):
        setup = experiment(tmp_path, {"name": "repeated", "n": 2, "of": inner})
        with pytest.raises(InputError, match=message):
            play(setup, tmp_path / "journal")


def test_repetition_edges(tmp_path: FilePath) -> None:
    vote: Strategy = MajorityVote(n=2)
    assert talk(tmp_path, Repeated(of=vote, n=2), {"": ["x"]}).text is None
    one = talk(tmp_path, Repeated(of=vote, n=1), {"": ["=1"]})
    assert one.requests == [(PROMPT, 1000, 2)]
    half = talk(tmp_path, Repeated(n=2), {"": ["=1", "x"]})
    assert half.result.score == 0.5 and half.result.abstained == 1
