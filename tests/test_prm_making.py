"""From a recipe to a folder: what is refused before any work, and what is left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.playing import Silent
from tests.tiny_llama import PROBLEMS, ids, make_tiny_llama
from ttscale.errors import InputError
from ttscale.prm import making
from ttscale.prm.labelling import Labelled, Sampled
from ttscale.prm.recipe import Recipe, load

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors.torch")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("models") / "base")


def recipe(folder: Path, model: Any, **changes: Any) -> Recipe:
    """A recipe for a policy, on three sums, with two others to judge it by."""
    experiment = {"model": model, "benchmark": {"preset": "sums", "size": 2}}
    (folder / "sums.yaml").write_text(yaml.safe_dump({**experiment, "strategies": ["single"]}))
    config = {
        "experiment": "sums.yaml",
        "problems": {"offset": 10, "size": 3, "held_out": 1},
        "training": {"depth": 3, "layers": 2, "rank": 2, "epochs": 2},
        "evaluation": {"solutions": 2, "rollouts": 0},
        **changes,
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    return load(folder / "tiny.yaml")


def make(recipe: Recipe, folder: Path) -> Path:
    return making.make(recipe, folder / "results", Silent())


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"depth": 5, "layers": 2}, r"(?s)not so many layers.*training\.depth.*5.*at most 4"),
        ({"depth": 3, "layers": 4}, r"(?s)not so many layers.*training\.layers.*4.*at most 3"),
    ],
)
def test_more_layers_than_there_are(
    base: Path, tmp_path: Path, training: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make(recipe(tmp_path, {"model": str(base)}, training=training), tmp_path)


def test_a_policy_without_weights_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights to train on"):
        make(recipe(tmp_path, {"engine": "simulated"}), tmp_path)
    with pytest.raises(InputError, match="Llama model in a local folder"):
        make(recipe(tmp_path, {"model": str(tmp_path)}), tmp_path)


def test_problems_that_are_the_experiments_own(base: Path, tmp_path: Path) -> None:
    both = {"offset": 1, "size": 3, "held_out": 1}
    with pytest.raises(InputError, match="1 problems to train on are the experiment's own"):
        make(recipe(tmp_path, {"model": str(base)}, problems=both), tmp_path)


def test_a_finished_run_holds_the_model_and_says_how_good_it_is(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    solutions = [
        Sampled(ids(3, 4, 5, 6), (2, 4), ("1 + 1 = 2\n", "Answer: 4."), True, "4", 0, [-0.1] * 4),
        Sampled(ids(3, 6, 4), (2, 3), ("1 + 1 = 3\n", "Answer: 5."), False, "5", 0, [-0.9] * 3),
    ]
    unseen = [Labelled(f"u{n}", "1 + 1 + 1 + 1", ids(7, 8, 9, n), solutions) for n in (2, 3)]

    async def sample(*_: Any, **__: Any) -> dict[str, list[Labelled]]:
        return {"training": [PROBLEMS[0], PROBLEMS[0], PROBLEMS[1]], "evaluation": unseen}

    monkeypatch.setattr(making, "sample", sample)
    folder = make(recipe(tmp_path, {"model": str(base)}), tmp_path)
    card = json.loads((folder / "card.json").read_text())
    assert card["material"] == {
        "problems": 3, "mixed": 2,
        "solutions": 5, "right_solutions": 0.6, "rollouts": 2, "right_rollouts": 0.0,
    }  # fmt: skip
    assert card["answers"]["pass_at_1"][0] == 0.5
    assert card["answers"]["mean_logprob"]["auroc_within"][0] == 1
    assert card["steps"]["exact"]["mean_logprob"]["auroc"][0] == 1
    assert [epoch["number"] for epoch in card["epochs"]] == [1, 2]
    assert json.loads((folder / "prm" / "config.json").read_text())["num_hidden_layers"] == 3
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder / "prm").float()
    for check in card["checks"]:
        with torch.no_grad():
            hidden = model.model(torch.tensor([check["token_ids"]])).last_hidden_state[0]
        found = model.score(hidden)[check["places"], 0].sigmoid().tolist()
        assert found == pytest.approx(check["scores"], abs=1e-4)
    making.show(folder, as_json=False)
    shown = capsys.readouterr().out
    assert "3 problems, of which 2 have right and wrong responses: 5 solutions, 0.600" in shown
    assert "2 unseen problems × 2" in shown
    assert " [–, –]" in shown  # two problems leave some intervals open
