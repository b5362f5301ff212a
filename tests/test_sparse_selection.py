"""The numerics of sparse attention, against plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from ttscale.engine.sparse import selection

N, HEADS, GROUP, D, BLOCK = 3, 2, 3, 16, 8


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["block_topk", "quest"])
def test_a_blocks_score_is_the_mean_over_the_group(kind: selection.Kind) -> None:
    """For the mean key the mean logit; for bounds a bound on every logit, met in one dimension."""
    query, keys = gaussian(N, HEADS, GROUP, D), gaussian(5, HEADS, BLOCK, D, seed=1)
    place = torch.tensor([[0, 1, 2], [3, 1, 4], [2, 2, 0]])
    summaries = selection.summarise(kind, keys).transpose(0, 1).contiguous()
    scores = selection.block_scores(selection.probe(kind, query), summaries, place)
    for i in range(N):
        for h in range(HEADS):
            for b in range(3):
                block = keys[place[i, b], h]
                if kind == "block_topk":
                    expected = sum(float((block @ q).mean()) for q in query[i, h]) / GROUP
                else:
                    bounds = [
                        sum(
                            max(float(q[c] * block[:, c].min()), float(q[c] * block[:, c].max()))
                            for c in range(D)
                        )
                        for q in query[i, h]
                    ]
                    expected = sum(bounds) / GROUP
                    assert expected >= float((query[i, h] @ block.T).amax(1).mean()) - 1e-5
                assert float(scores[i, h, b]) == pytest.approx(expected, abs=1e-4)


def test_first_and_recent_blocks_are_always_chosen() -> None:
    n_blocks = torch.tensor([9, 6, 4])
    scores = gaussian(3, HEADS, 9) * 100
    bias = selection.forced(n_blocks, 9)
    for k in (1, 2, 3, 4):
        chosen = selection.choose(scores, bias, k)
        for i, n in enumerate(n_blocks.tolist()):
            dearest = [n - 1, 0, n - 2][:k]
            for h in range(HEADS):
                found = chosen[i, h].tolist()
                assert found == sorted(set(found)) and max(found) == n - 1
                assert set(dearest) <= set(found)
                rest = set(found) - set(dearest)
                others = [b for b in range(n) if b not in dearest]
                best = sorted(others, key=lambda b: -float(scores[i, h, b]))[: k - len(dearest)]
                assert rest == set(best)


def test_a_window_has_its_sinks_and_its_end() -> None:
    n_blocks = torch.tensor([9, 6])
    assert selection.window_blocks(n_blocks, 4, 1).tolist() == [[0, 6, 7, 8], [0, 3, 4, 5]]
    assert selection.window_blocks(n_blocks, 3, 0).tolist() == [[6, 7, 8], [3, 4, 5]]


@pytest.mark.parametrize("budget", [1, 5, 40, 100])
def test_attention_over_the_best_tokens_masks_all_others(budget: int) -> None:
    query, keys, values = gaussian(HEADS, GROUP, D), gaussian(HEADS, 60, D), gaussian(HEADS, 60, D)
    scale = D**-0.5
    found = selection.attend_to_best(query, keys, values, budget, scale)
    for h in range(HEADS):
        tokens = found.tokens[h].tolist()
        assert len(set(tokens)) == min(budget, 60) and 59 in tokens
        mass = sum(torch.softmax(keys[h] @ q * scale, 0) for q in query[h])
        least = min((float(mass[t]) for t in tokens if t != 59), default=math.inf)
        assert all(float(mass[t]) <= least for t in range(60) if t not in tokens)
        for g in range(GROUP):
            logits = keys[h] @ query[h, g] * scale
            mask = torch.full_like(logits, -math.inf)
            mask[tokens] = 0
            expected = torch.softmax(logits + mask, 0) @ values[h]
            assert torch.allclose(found.output[h, g], expected, atol=1e-5)
