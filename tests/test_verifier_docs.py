"""docs/verifiers.md says what the verifiers' fields are, and what it configures runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import yaml

from tests.contract.playing import experiment, play
from ttscale import registry

DOCS = (Path(__file__).parents[1] / "docs" / "verifiers.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip(" `"): cells[2].strip(" `")
    for line in DOCS.splitlines()
    if line.startswith("| `") and (cells := line.strip("|").split("|"))
}


def test_every_verifier_is_there_with_its_fields_and_defaults() -> None:
    assert set(ROWS) == set(registry.names("verifiers"))
    for name, row in ROWS.items():
        fields = [
            f"{field.name}={field.default}"
            for field in dataclasses.fields(registry.load("verifiers", name))
            if field.name != "prompt" and field.default is not dataclasses.MISSING
        ]
        assert row == " ".join(fields), name


def test_what_it_configures_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL)
    (tmp_path / "says.py").write_text(code)
    first, own = re.findall(r"```yaml\n(.*?)```", DOCS, flags=re.DOTALL)
    for place, entry in enumerate([*yaml.safe_load(first)["strategies"],
                                   *yaml.safe_load(own)["strategies"]]):  # fmt: skip
        setup = experiment(tmp_path, {**entry, "n": 4}, size=2)
        result = play(setup, tmp_path / f"{place}.sqlite")
        assert result is not None
        assert {outcome.error for outcome in result.outcomes} == {None}
        assert all(outcome.score is not None for outcome in result.outcomes)
