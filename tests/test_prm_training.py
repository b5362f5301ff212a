"""ttscale.prm: the trees' forward pass is transformers' on each path, and training learns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_llama import PROBLEMS, make_tiny_llama
from ttscale.errors import InputError
from ttscale.prm.export import halve, merge, save
from ttscale.prm.llama import HEAD, Llama
from ttscale.prm.recipe import Training
from ttscale.prm.training import (
    language_loss,
    lower_layers,
    new_adapter,
    predict,
    telling,
    thinned,
    train,
    upper_layers,
)
from ttscale.prm.tree import Tree, shared_prefix

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # two that wait for each other are slow on what is this small
pytest.importorskip("safetensors.torch")

SETTINGS = Training(layers=2, rank=3, epochs=30, batch=2, learning_rate=0.02)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("models") / "base")


def random_adapter(llama: Llama) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(tensor.shape, generator=generator) * 0.2
        for name, tensor in new_adapter(llama, SETTINGS).items()
    }


@pytest.mark.parametrize("depth", [None, 3])
def test_every_mark_scores_as_transformers_scores_its_path(
    base: Path, tmp_path: Path, depth: int | None
) -> None:
    llama = Llama.load(base, depth)
    adapter = halve(random_adapter(llama))
    corpus = lower_layers(llama, PROBLEMS, SETTINGS.layers)
    scores = predict(llama, corpus, corpus.documents, adapter)

    save(adapter, tmp_path / "adapter.safetensors")
    merge(base, tmp_path / "adapter.safetensors", tmp_path / "merged")
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").float()
    assert type(model).__name__ == "LlamaForSequenceClassification"
    assert model.config.num_labels == 1
    assert len(model.model.layers) == (depth or 4)

    assert shared_prefix(PROBLEMS) == 3
    n_checked = 0
    for problem, document, found in zip(PROBLEMS, corpus.documents, scores, strict=True):
        for response, visits in zip(problem.solutions, document.tree.visits, strict=True):
            for end, mark in zip(response.ends, visits, strict=True):
                path = [*problem.prompt, *response.token_ids[:end]]
                with torch.no_grad():
                    hidden = model.model(torch.tensor([path])).last_hidden_state
                    expected = model.score(hidden)[0, -1, 0]
                assert float(found[mark]) == pytest.approx(float(expected), abs=1e-4)
                n_checked += 1
    assert n_checked == 9


def test_what_an_epoch_leaves_out_changes_no_score(base: Path) -> None:
    llama = Llama.load(base)
    adapter = random_adapter(llama)
    corpus = lower_layers(llama, PROBLEMS, SETTINGS.layers)
    whole = corpus.documents[0]
    drawn = []
    rng = np.random.default_rng(0)
    for _ in range(20):
        part = thinned(whole, 1, rng)
        ends = part.tree.n_right[part.tree.final]
        assert (ends > 0).sum() == (whole.tree.n_right[whole.tree.final] > 0).sum()
        assert (ends == 0).sum() == 1
        expected, found = (predict(llama, corpus, [d], adapter)[0] for d in (whole, part))
        scores = dict(zip(map(path_of(whole.tree), whole.tree.marks), expected, strict=True))
        for path, score in zip(map(path_of(part.tree), part.tree.marks), found, strict=True):
            assert float(score) == pytest.approx(float(scores[path]), abs=1e-5)
        drawn.append(path_of(part.tree)(part.tree.marks[part.tree.final][ends == 0][0]))
    assert len(set(drawn)) > 1, "another one every time"
    assert thinned(whole, None, rng) is whole
    assert thinned(whole, 99, rng) is whole


def path_of(grown: Tree) -> Callable[[int], tuple[int, ...]]:
    """The tokens up to a place."""

    def follow(place: int) -> tuple[int, ...]:
        above = () if place < 0 else follow(int(grown.parents[place]))
        return above if place < 0 else (*above, int(grown.token_ids[place]))

    return follow


def test_an_adapter_begins_by_changing_nothing(base: Path) -> None:
    llama = Llama.load(base)
    corpus = lower_layers(llama, PROBLEMS, 2)
    deeper = lower_layers(llama, PROBLEMS, 1)
    fresh = new_adapter(llama, SETTINGS)
    fresh[HEAD] = torch.ones_like(fresh[HEAD])
    bare = {HEAD: fresh[HEAD]} | {
        name: tensor for name, tensor in fresh.items() if name.startswith("model.layers.3.")
    }
    for one, other in zip(
        predict(llama, corpus, corpus.documents, fresh),
        predict(llama, deeper, deeper.documents, bare),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-4)


def test_the_language_loss_is_that_of_the_policy_on_right_responses(base: Path) -> None:
    from transformers import AutoModelForCausalLM

    llama = Llama.load(base)
    corpus = lower_layers(llama, PROBLEMS, 2)
    adapter = new_adapter(llama, SETTINGS)
    hidden, starts = upper_layers(llama, corpus, corpus.documents, adapter)
    found = language_loss(llama, hidden, starts, corpus.documents)

    model = AutoModelForCausalLM.from_pretrained(base).float()
    wanted: dict[tuple[int, ...], float] = {}
    for problem in PROBLEMS:
        for response in problem.responses:
            path = [*problem.prompt, *response.token_ids]
            with torch.no_grad():
                surprise = -model(torch.tensor([path])).logits[0].log_softmax(-1)
            for end in range(len(problem.prompt), len(path)) if response.right else ():
                wanted[tuple(path[: end + 1])] = float(surprise[end - 1, path[end]])
    assert len(wanted) > 3
    assert float(found) == pytest.approx(np.mean(list(wanted.values())), abs=1e-4)


def test_cycles_begin_anew_and_the_language_objective_is_learnt(base: Path) -> None:
    llama = Llama.load(base)
    corpus = lower_layers(llama, [PROBLEMS[0], *PROBLEMS], SETTINGS.layers)
    lost = []
    for weight in (0.0, 1.0):
        epochs = []
        changes = {"epochs": 3, "cycles": 2, "language": weight}
        settings = SETTINGS.model_copy(update=changes)
        adapter = train(llama, corpus, 1, 2, settings, epochs.append)
        assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5, 6]
        with torch.no_grad():
            hidden, starts = upper_layers(llama, corpus, corpus.documents, adapter)
            lost.append(float(language_loss(llama, hidden, starts, corpus.documents)))
    assert lost[1] < lost[0]


def test_training_lowers_the_loss_and_is_the_same_again(base: Path) -> None:
    llama = Llama.load(base)
    corpus = lower_layers(llama, [PROBLEMS[0], *PROBLEMS], SETTINGS.layers)
    histories = []
    for _ in range(2):
        epochs = []
        adapter = train(llama, corpus, 1, 2, SETTINGS, epochs.append)
        histories.append([(epoch.train_loss, epoch.held_out_loss) for epoch in epochs])
    assert histories[0] == histories[1]
    assert histories[0][-1][0] < 0.6 * histories[0][0][0]
    scores = predict(llama, corpus, corpus.documents[:1], adapter)[0]
    ends = corpus.documents[0].tree.final
    right = corpus.documents[0].tree.targets[ends] == 1
    assert scores[torch.from_numpy(ends)][torch.from_numpy(right)].min() > np.max(
        scores[torch.from_numpy(ends)][torch.from_numpy(~right)].numpy()
    )


def test_problems_that_blame_no_step_are_not_trained_on() -> None:
    assert [problem.mixed for problem in PROBLEMS] == [True, False, False]
    assert telling([PROBLEMS[1], *PROBLEMS, PROBLEMS[0]], 2) == ([PROBLEMS[0]], [PROBLEMS[0]])
    with pytest.raises(InputError, match=r"(?s)both right and wrong.*0 of 2, 1 of 1"):
        telling(PROBLEMS, 1)
