"""A reward model at an endpoint: scores by token ids, survived faults, and what it refuses."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq
import pytest

from tests.endpoint_server import Server, ids_of, score, serving, thirty_percent, write_model
from tests.test_endpoint_run import play, summary, write
from ttscale.engine.openai.config import OpenAIRewardConfig
from ttscale.engine.openai.scorer import OpenAIScorer
from ttscale.engine.protocol import ContextTooLong, Scorer, Scores
from ttscale.errors import InputError

T = TypeVar("T")

TEXT = "<user>1+2<reply>" + "ab c\n\n" * 12 + "= 3"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("tiny")))


def talk(
    model: str, what: Callable[[OpenAIScorer], Awaitable[T]], *servers: Server, **changes: Any
) -> T:
    urls = tuple(server.url for server in servers)
    config = OpenAIRewardConfig(endpoint=urls, model=model, served_name="tiny", **changes)

    async def main() -> T:
        scorer = OpenAIScorer(config)
        try:
            await scorer.start()
            return await what(scorer)
        finally:
            await scorer.close()

    return asyncio.run(main())


def test_scores_are_read_at_the_positions(model: str) -> None:
    ids = array("i", ids_of(TEXT))

    async def what(scorer: OpenAIScorer) -> Scores:
        assert isinstance(scorer, Scorer) and scorer.policy_tokens
        with pytest.raises(ContextTooLong):
            scorer.score(array("i", [5] * 2001), [3])
        return await scorer.score(ids, [20, 40, len(ids) - 1])

    with serving(server := Server(pools=True)):
        found = talk(model, what, server)
    expected = [score(ids[: i + 1].tolist()) for i in (20, 40, len(ids) - 1)]
    assert list(found.values) == pytest.approx(expected)


def test_a_format_and_a_head_are_part_of_its_identity(model: str) -> None:
    async def what(scorer: OpenAIScorer) -> str:
        return scorer.fingerprint

    with serving(server := Server(pools=True)):
        found = {
            talk(model, what, server, **changes)
            for changes in ({}, {"activation": "raw"}, {"format": {"layout": "chat"}})
        }
    assert len(found) == 3


@pytest.mark.parametrize(
    ("server", "match"),
    [({}, "does not score tokens"), ({"pools": True, "shown_tokens": 5}, "5 tokens of")],
)
def test_a_server_that_does_not_score_is_told(
    model: str, server: dict[str, Any], match: str
) -> None:
    async def what(scorer: OpenAIScorer) -> None:
        return None

    with serving(running := Server(**server)), pytest.raises(InputError, match=match):
        talk(model, what, running)


def test_a_search_with_both_models_at_endpoints(model: str, tmp_path: Path) -> None:
    arms = [{"name": "beam_search", "n": 4, "width": 2, "verifier": "prm"}]
    policy, calm = Server(), Server(pools=True)
    rough = Server(pools=True, fate=thirty_percent)
    with serving(policy, calm, rough):
        folders = []
        for name, judge in (("calm", calm), ("rough", rough)):
            prm = {"engine": "openai_reward", "endpoint": judge.url, "model": model,
                   "served_name": "tiny"}  # fmt: skip
            path = write(tmp_path / name, model, policy, strategies=arms, models={"prm": prm})
            folders.append(play(path))
    tables = [pq.read_table(folder / "answers.parquet") for folder in folders]
    assert tables[0].equals(tables[1]) and summary(folders[0])["complete"]
    assert rough.asked.total() > rough.whole.total() == calm.whole.total() > 12
    assert set(rough.whole.values()) == {1}
