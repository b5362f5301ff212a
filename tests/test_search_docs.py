"""docs/search.md says what the strategies' fields are, and its own strategy runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import yaml

from tests.contract.playing import experiment, play
from ttscale import registry

DOCS = (Path(__file__).parents[1] / "docs" / "search.md").read_text(encoding="utf-8")
TABLE = DOCS[DOCS.index("| strategy | from |") :].partition("\n\n")[0]
ROWS = {
    cells[0].strip("` "): cells[2].strip("` ")
    for line in TABLE.splitlines()[2:]
    if (cells := line.strip("| ").split(" | "))
}


def test_the_table_has_the_fields_and_their_defaults() -> None:
    assert len(ROWS) == 10
    for name, row in ROWS.items():
        fields = dataclasses.fields(registry.load("strategies", name))
        assert row == " ".join(f"{field.name}={field.default}" for field in fields), name


def test_the_strategy_of_ones_own_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL)
    (tmp_path / "rising_scores.py").write_text(code)
    configurations = re.findall(r"```yaml\n(.*?)```", DOCS, flags=re.DOTALL)
    (own,) = yaml.safe_load(configurations[-1])["strategies"]
    result = play(experiment(tmp_path, own), tmp_path / "journal")
    assert result is not None
    assert all(outcome.status == "answered" for outcome in result.outcomes), result.outcomes
    assert len({outcome.n_generated_tokens for outcome in result.outcomes}) > 1


def test_the_configuration_of_the_searches_runs(tmp_path: Path) -> None:
    first = re.findall(r"```yaml\n(.*?)```", DOCS, flags=re.DOTALL)[0]
    for entry in yaml.safe_load(first)["strategies"]:
        swept = entry["n"] if isinstance(entry["n"], list) else [entry["n"]]
        for n in swept:
            setup = experiment(tmp_path, {**entry, "n": n}, size=2)
            result = play(setup, tmp_path / f"{entry['name']}-{n}")
            assert result is not None
            assert {outcome.error for outcome in result.outcomes} == {None}
