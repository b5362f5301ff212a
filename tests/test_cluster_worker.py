"""A worker without a cluster: what it hands to the driver, asks of it, and finds on its node."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from array import array
from pathlib import Path
from typing import Any

import pytest

from tests.contract.playing import Silent
from ttscale.benchmark.source import load as load_items
from ttscale.cluster.resources import connected
from ttscale.cluster.upstream import Upstream
from ttscale.cluster.worker import Worker
from ttscale.engine.protocol import Completion
from ttscale.errors import InputError
from ttscale.record.journal import NAME, Journal
from ttscale.record.rows import Rows, Span
from ttscale.run.config import Experiment, RayConfig, resolve
from ttscale.run.runner import run
from ttscale.run.shards import WORKERS, mark, reclaim
from ttscale.trace import TOKEN

TOKEN_OF_RUN = "0123456789abcdef"


def experiment(tmp_path: Path) -> Experiment:
    given: dict[str, Any] = {
        "name": "spread",
        "model": {"engine": "simulated"},
        "benchmark": {"simulated": {}, "size": 3},
        "sampling": {"max_tokens": 600},
        "strategies": [{"name": "majority_vote", "n": 4}],
    }
    return resolve(given, where="test", folder=tmp_path)


def worker(tmp_path: Path, folder: Path) -> Worker:
    config = experiment(tmp_path)
    return Worker(
        0, config, load_items(config.config.benchmark, folder=tmp_path), folder, TOKEN_OF_RUN
    )


def left_behind(path: Path) -> Span:
    """A journal with one sample in it."""
    path.mkdir(parents=True)
    journal = Journal(path / NAME)
    journal.write(b"k" * 16, 3, "arm\x1f0", Completion(array(TOKEN, [1, 2]), "ab", "stop"))
    journal.write_fact(b"fact", b"value")
    journal.close()
    return Span(b"k" * 16, 3, 1)


async def drive(one: Worker, journal: Journal, done: asyncio.Event) -> None:
    """What the driver does with a worker's parcels."""
    delivered = 0
    while not done.is_set():
        parcel = await one.take(delivered, 0.05)
        for rows in parcel.commits:
            journal.receive(rows)
        journal.commit()
        delivered = parcel.number
        answers = {q.number: journal.lookup(q.spans, q.facts) for q in parcel.questions}
        await one.answer(answers)


async def play(one: Worker, journal: Journal, known: bool) -> int:
    """Start a worker, hand it all problems, and stop it; the tokens it generated."""
    done = asyncio.Event()
    driver = asyncio.create_task(drive(one, journal, done))
    about = await one.start()
    for group in about.groups:
        (settled,) = await one.work(group, known or about.salvaged)
        assert settled.outcomes[0].status in {"answered", "no answer"}
    done.set()
    await driver
    return (await one.stop()).n_fresh_tokens


def test_what_a_worker_commits_is_the_drivers_and_is_not_paid_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    mark(folder, TOKEN_OF_RUN)
    journal = Journal(folder / NAME)
    assert asyncio.run(play(worker(tmp_path, folder), journal, known=False)) > 0
    assert journal.n_calls() == 3 * 4
    assert not list((folder / WORKERS).glob(f"*/{NAME}")), "it left no journal"
    assert asyncio.run(play(worker(tmp_path, folder), journal, known=True)) == 0
    journal.close()


def test_a_worker_sends_what_was_left_on_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / f"ttscale-{TOKEN_OF_RUN}"
    span = left_behind(place / "0-1")
    journal = Journal(tmp_path / NAME)
    elsewhere = Path("/nowhere/run")
    asyncio.run(play(worker(tmp_path, elsewhere), journal, known=False))
    assert journal.lookup([span], [b"fact"]).facts == [(b"fact", b"value")]
    assert journal.read(*span)[3].completion.text == "ab"
    assert not list(place.glob(f"*/{NAME}"))
    journal.close()


def test_the_driver_takes_over_what_lost_workers_left(tmp_path: Path) -> None:
    span = left_behind(tmp_path / WORKERS / "0-1")
    left_behind(tmp_path / WORKERS / "1-2")
    journal = Journal(tmp_path / NAME)
    assert reclaim(journal, tmp_path / WORKERS) == 1, "both left the same sample"
    assert journal.read(*span)[3].payer == "arm\x1f0"
    assert journal.read_fact(b"fact") == b"value"
    assert not list((tmp_path / WORKERS).glob(f"*/{NAME}"))
    journal.close()


def test_a_local_session_takes_them_over_too(tmp_path: Path) -> None:
    config = experiment(tmp_path)
    left_behind(tmp_path / config.config.name / WORKERS / "0-1")
    folder = run(config, tmp_path, Silent(), fresh=False)
    journal = Journal(folder / NAME)
    assert journal.n_calls() == 3 * 4 + 1
    journal.close()


def test_delivery_waits_for_the_driver() -> None:
    async def scene() -> None:
        upstream = Upstream()
        upstream.committed(Rows([(b"k", 0, "payer", b"payload")], []))
        waiting = asyncio.create_task(upstream.delivered())
        first = await upstream.take(0, 0.0)
        await asyncio.sleep(0)
        assert [len(rows.calls) for rows in first.commits] == [1]
        assert not waiting.done(), "fetched is not yet kept"
        await upstream.take(first.number, 0.0)
        await asyncio.wait_for(waiting, 60)

    asyncio.run(scene())


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://head:10001"])
def test_an_address_without_a_driver_s_cluster_is_said(address: str) -> None:
    with (
        pytest.raises(InputError, match=address.replace("/", ".")),
        connected(address, RayConfig(), Silent()),
    ):
        pass


def test_a_machine_without_ray_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(InputError, match=r"ttscale\[ray\]"),
        connected("auto", RayConfig(), Silent()),
    ):
        pass
