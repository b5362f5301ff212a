"""docs/strategies.md is what the code says, names every strategy, and its entries work."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml

from tests.contract.playing import experiment
from ttscale import registry
from ttscale.run.config import load
from ttscale.run.sweep import arms

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "strategies_page.py"))
SHOWN = {name: shown for family in SCRIPT["FAMILIES"].values() for name, shown in family.items()}


def test_the_page_is_up_to_date() -> None:
    assert SCRIPT["PAGE"].read_text(encoding="utf-8") == SCRIPT["page"](), (
        "run python scripts/strategies_page.py"
    )


def test_every_strategy_is_on_it() -> None:
    assert sorted(SHOWN) == registry.names("strategies")


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_its_entry_can_be_run(name: str, tmp_path: Path) -> None:
    entry = yaml.safe_load(SCRIPT["entry"](name, SHOWN[name]))
    (arm,) = arms(experiment(tmp_path, entry))
    assert type(arm.strategy) is registry.load("strategies", name)


def test_what_it_composes_can_be_run(tmp_path: Path) -> None:
    entries = re.findall(r"`(\{name: repeated[^`]*\})`", SCRIPT["page"]())
    assert len(entries) >= 2
    for entry in entries:
        assert arms(experiment(tmp_path, yaml.safe_load(entry)))


def test_the_zoo_holds_every_strategy() -> None:
    zoo = load(Path(__file__).parents[1] / "configs" / "experiments" / "zoo_embedded.yaml")
    found = {type(arm.strategy) for arm in arms(zoo)}
    assert found == {registry.load("strategies", name) for name in SHOWN}
