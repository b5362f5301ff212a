"""Retrieval: the corpus and its faults, the requests in order, the answers picked."""

from __future__ import annotations

import json
from pathlib import Path as FilePath

import pytest

from tests.scripted_talk import PROMPT, talk
from ttscale.errors import InputError
from ttscale.retrieval.corpus import read_corpus
from ttscale.strategies.iterative_retrieval import IterativeRetrieval
from ttscale.strategies.process_reward_agent import ProcessRewardAgent

DOCUMENTS = ["1 is odd", "the moon is far; 1 and 1", "the sun shines", "moons of Mars"]


@pytest.fixture
def corpus(tmp_path: FilePath) -> str:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in DOCUMENTS))
    return str(path)


def test_what_shares_rare_words_is_found(corpus: str, tmp_path: FilePath) -> None:
    found = read_corpus(corpus)
    assert found.search("How far is the MOON?", 1) == [DOCUMENTS[1]]
    assert found.search("the sun", 3) == [DOCUMENTS[2], DOCUMENTS[1]]
    assert found.search("nothing like it", 3) == []
    plain = tmp_path / "plain.txt"
    plain.write_text("one cat\nsat\n\n\ntwo dogs\n")
    assert read_corpus(str(plain)).documents == ["one cat\nsat", "two dogs"]
    titled = tmp_path / "titled.jsonl"
    titled.write_text('{"title": "Cats", "text": "sat"}\n\n')
    assert read_corpus(str(titled)).search("cats", 1) == ["Cats\nsat"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.txt", None, "cannot be read"),
        ("empty.txt", " \n\n", "is empty"),
        ("dots.txt", "…\n", "is empty"),
        ("broken.jsonl", "{\n", "no JSON"),
        ("other.jsonl", '{"body": "x"}\n', "has a text"),
    ],
)
def test_what_is_no_corpus_is_told(tmp_path: FilePath, name, content, message) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        talk(tmp_path, IterativeRetrieval(corpus=str(path)), {"": ["=1"]})


def test_one_iteration_is_one_prompt_with_documents(corpus: str, tmp_path: FilePath) -> None:
    strategy = IterativeRetrieval(corpus=corpus, documents=1, shots=("Q: 2+2\nA: =4",))
    talked = talk(tmp_path, strategy, {"": ["=2"]})
    ((prompt, limit, n),) = talked.requests
    assert "### Document 1\nthe moon is far; 1 and 1\n\nQ: 2+2\nA: =4\n\n1+1" in prompt
    assert (limit, n) == (1000, 1) and talked.answer == "2"
    assert talked.finished == [], "the prompt is the strategy's own"


def test_questions_bring_further_documents(corpus: str, tmp_path: FilePath) -> None:
    script = {
        "with the help of the documents\\.$": ["=2"],
        "briefly.*Mars": ["two"],
        "Intermediate.*one more fact": ["so Follow up: how many moons\nhas it"],
        "one more fact": ["Follow up: moons of Mars?"],
        "briefly": ["many"],
    }
    strategy = IterativeRetrieval(corpus=corpus, documents=1, iterations=3, tokens=9)
    talked = talk(tmp_path, strategy, script)
    assert (
        talked.said
        == [
            "Follow up: moons of Mars?",
            "two",
            "so Follow up: how many moons\nhas it",
            "many",
            "=2",
        ]
        or talked.said[3] == "two"
    )
    assert [limit for _, limit, _ in talked.requests] == [1000, 9, 1000, 9, 1000]
    last = talked.requests[-1][0]
    assert "### Document 2\nmoons of Mars" in last
    assert "Follow up: moons of Mars?\nIntermediate answer: two" in last
    assert "Follow up: how many moons\nIntermediate answer:" in last
    assert talked.notes == {"follow_ups": 2} and talked.answer == "2"
    early = talk(tmp_path, strategy, {"": ["it is =2"]})
    assert len(early.requests) == 1 and early.answer == "2"
    assert talk(tmp_path, strategy, {"": ["x"]}).answer is None


def test_the_agent_ranks_and_prunes_with_documents_where_it_wants_them(
    corpus: str, tmp_path: FilePath
) -> None:
    chances = {
        "moon\n\nWould": 0.9,
        "moon\n\nIs": 0.2,
        "sun\n\nIs": 0.7,
        "=1\n\nIs": 0.4,
        "=2\n\nIs": 0.8,
    }

    def first(prefix: str) -> dict[str, float]:
        one = next((p for end, p in chances.items() if end in prefix[-90:]), 0.1)
        return {"1": one, "0": 1 - one}

    script = {
        "1 or 0": ["1"],
        "sun\n\n$": ["=1", "=2"],
        "1\\+1$": ["moon\n\n", "sun\n\n"],
    }
    strategy = ProcessRewardAgent(corpus=corpus, n=2, beam=1, documents=1)
    talked = talk(tmp_path, strategy, script, first=first)
    kinds = [
        "search?" if "Would doc" in prefix else "reward?" if "1 or 0" in prefix else prefix
        for prefix, _, _ in talked.requests
    ]
    assert kinds == [
        *(PROMPT, "search?", "search?", "reward?", "reward?"),
        *(f"{PROMPT}sun\n\n", "search?", "search?", "reward?", "reward?"),
    ]
    judged = [prefix for prefix, _, _ in talked.requests]
    assert judged[3].startswith("### Document 1\nthe moon is far"), "the agent wanted documents"
    assert judged[4].startswith(PROMPT), "and here it did not"
    assert talked.text == "sun\n\n=2" and talked.result.score == pytest.approx(0.7 + 0.8)
    assert talked.notes == {"searches": 1}
    assert talked.n_generated == 6 + 5 + 2 + 2 + 8


def test_agent_edges(corpus: str, tmp_path: FilePath) -> None:
    def even(prefix: str) -> dict[str, float]:
        return {"1": 0.5, "0": 0.5}

    strategy = ProcessRewardAgent(corpus=corpus, n=2, beam=1)
    script = {"1 or 0": ["1"], "": ["=1", "=2"]}
    tied = talk(tmp_path, strategy, script, first=even)
    assert tied.result.tied == 2 and tied.notes == {}
    one = talk(tmp_path, ProcessRewardAgent(corpus=corpus, n=1), script)
    assert one.requests == [(PROMPT, 1000, 1)]
    ended = talk(tmp_path, strategy, script, first=even, budget=1001)
    assert ended.error and ended.answer == "1" and ended.n_generated == 2
