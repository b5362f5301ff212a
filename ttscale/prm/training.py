"""Training the adapter and the head on the steps' labels, on a CPU.

The layers below the adapter are frozen and run once. In every batch the prefix that all prompts
share is computed once for all of its trees, with gradients through it, so that what is learnt is
what the merged model does when it reads a whole path.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.prm.labelling import Labelled
from ttscale.prm.llama import HEAD, MAPS, Llama, Segment, Tensor, full_name
from ttscale.prm.recipe import Training
from ttscale.prm.tree import Tree, shared_prefix, tree

Floats = npt.NDArray[np.float64]


class Document(NamedTuple):
    """A tree ready for the upper layers: what came out of the lower ones, and its mask."""

    tree: Tree
    hidden: Tensor
    mask: Tensor


class Corpus(NamedTuple):
    """All trees behind one shared prefix.

    Attributes
    ----------
    prefix : (n_prefix, hidden), the shared prefix after the lower layers.
    documents : the trees, in the order of the problems.
    """

    prefix: Tensor
    documents: list[Document]


class Epoch(NamedTuple):
    """What one pass over the problems came to.

    Attributes
    ----------
    train_loss, held_out_loss : weighted cross-entropies, in nats a mark.
    held_out_auroc : how well the endings of a held-out problem are ranked, mean over problems.
    """

    number: int
    train_loss: float
    held_out_loss: float
    held_out_auroc: float
    seconds: float


def telling(problems: Sequence[Labelled], held_out: int) -> tuple[list[Labelled], list[Labelled]]:
    """Of the first `held_out` problems and of the others those with right and wrong responses.

    The rest do not show which steps are to blame. Raises InputError when none is left of either.
    """
    watched, trained = (
        [problem for problem in part if problem.mixed]
        for part in (problems[:held_out], problems[held_out:])
    )
    if not watched or not trained:
        raise InputError(
            "no problem to train on, or none held out, has both right and wrong responses",
            got=f"{len(trained)} of {len(problems) - held_out}, {len(watched)} of {held_out}",
            hint="more problems or solutions, or problems that are neither too hard nor too easy",
        )
    return watched, trained


def lower_layers(llama: Llama, problems: Sequence[Labelled], n_layers: int) -> Corpus:
    """Run the frozen layers, all but the last `n_layers`, over every tree."""
    import torch

    n_prefix = shared_prefix(problems)
    n_lower = llama.shape.num_hidden_layers - n_layers
    with torch.no_grad():
        x = llama.embed(torch.tensor(problems[0].prompt[:n_prefix].tolist()))
        rotation, pasts = llama.rotation(torch.arange(n_prefix)), []
        for number in range(n_lower):
            x, past = llama.layer(number, x, rotation, n_prefix, (), {})
            pasts.append(past)
        documents = []
        for problem in problems:
            grown = tree(problem, n_shared=n_prefix)
            n = len(grown.token_ids)
            seen = np.concatenate([np.ones((n, n_prefix), dtype=bool), grown.ancestors()], axis=1)
            mask = torch.from_numpy(seen)
            segment = [Segment(slice(0, n), mask)]
            hidden = llama.embed(torch.from_numpy(grown.token_ids))
            rotation = llama.rotation(n_prefix + torch.from_numpy(grown.depths))
            for number in range(n_lower):
                hidden, _ = llama.layer(number, hidden, rotation, 0, segment, {}, pasts[number])
            documents.append(Document(grown, hidden, mask))
    return Corpus(x, documents)


def logits(
    llama: Llama, corpus: Corpus, documents: Sequence[Document], adapter: Mapping[str, Tensor]
) -> list[Tensor]:
    """The head's logit at every mark of each document, (m,) each."""
    hidden, starts = upper_layers(llama, corpus, documents, adapter)
    return _read(hidden, starts, documents, adapter)


def upper_layers(
    llama: Llama, corpus: Corpus, documents: Sequence[Document], adapter: Mapping[str, Tensor]
) -> tuple[Tensor, list[int]]:
    """What the head reads, (n, hidden) of all tokens, and the row where each document begins."""
    import torch

    n_prefix = len(corpus.prefix)
    x = torch.cat([corpus.prefix, *(document.hidden for document in documents)])
    positions, segments, start = [torch.arange(n_prefix)], [], n_prefix
    for document in documents:
        n = len(document.hidden)
        positions.append(n_prefix + torch.from_numpy(document.tree.depths))
        segments.append(Segment(slice(start, start + n), document.mask))
        start += n
    rotation = llama.rotation(torch.cat(positions))
    n_all = llama.shape.num_hidden_layers
    for number in range(n_all - _n_adapted(adapter), n_all):
        x, _ = llama.layer(number, x, rotation, n_prefix, segments, adapter)
    return llama.norm("model.norm", x), [segment.rows.start for segment in segments]


def _read(
    hidden: Tensor,
    starts: Sequence[int],
    documents: Sequence[Document],
    adapter: Mapping[str, Tensor],
) -> list[Tensor]:
    """The head's logits at the marks, (m,) of each document."""
    import torch

    marks = [
        start + torch.from_numpy(document.tree.marks)
        for start, document in zip(starts, documents, strict=True)
    ]
    scores = hidden[torch.cat(marks)] @ adapter[HEAD][0]
    return list(scores.split([len(places) for places in marks]))


def language_loss(
    llama: Llama, hidden: Tensor, starts: Sequence[int], documents: Sequence[Document]
) -> Tensor:
    """Mean cross-entropy of the tokens of right responses, in nats a token."""
    import torch

    written = [document.tree.written for document in documents]
    rows = np.concatenate([start + w[:, 0] for start, w in zip(starts, written, strict=True)])
    tokens = torch.from_numpy(np.concatenate([w[:, 1] for w in written]))
    return torch.nn.functional.cross_entropy(llama.next_token(hidden[rows]), tokens)


def _n_adapted(adapter: Mapping[str, Tensor]) -> int:
    """How many layers an adapter has."""
    return sum(name.endswith("q_proj.lora_A") for name in adapter)


def new_adapter(llama: Llama, settings: Training) -> dict[str, Tensor]:
    """An adapter that changes nothing yet (LoRA, Hu et al., 2021, §4.1), and a head of zeros."""
    import torch

    generator = torch.Generator().manual_seed(settings.seed)
    n_all = llama.shape.num_hidden_layers
    adapter = {HEAD: torch.zeros(1, llama.shape.hidden_size)}
    for number in range(n_all - settings.layers, n_all):
        for name in MAPS:
            full = full_name(number, name)
            n_out, n_in = llama.weights[f"{full}.weight"].shape
            down = torch.randn(settings.rank, n_in, generator=generator) / math.sqrt(n_in)
            adapter[f"{full}.lora_A"] = down
            adapter[f"{full}.lora_B"] = torch.zeros(n_out, settings.rank)
    return adapter


def loss(scores: Sequence[Tensor], documents: Sequence[Document], n_whole: int) -> Tensor:
    """Mean binary cross-entropy of the marks' soft labels, weighted by how well they are known."""
    import torch

    targets = np.concatenate([document.tree.targets for document in documents])
    weights = np.concatenate([document.tree.weights(n_whole) for document in documents])
    return torch.nn.functional.binary_cross_entropy_with_logits(
        torch.cat(list(scores)),
        torch.from_numpy(targets).float(),
        torch.from_numpy(weights / weights.sum()).float(),
        reduction="sum",
    )


def train(
    llama: Llama,
    corpus: Corpus,
    held_out: int,
    n_whole: int,
    settings: Training,
    report: Callable[[Epoch], None],
) -> dict[str, Tensor]:
    """Fit the adapter and the head; returns them after the last epoch.

    Parameters
    ----------
    llama, corpus : the frozen model and what its lower layers made of the trees, all `telling`.
    held_out : how many of the first documents are not trained on, but watched.
    n_whole : completions that make a label that counts in full.
    settings : what is trained and how.
    report : told of every epoch.
    """
    import torch

    rng = np.random.default_rng(settings.seed)
    unseen, training = corpus.documents[:held_out], corpus.documents[held_out:]
    adapter = new_adapter(llama, settings)
    for tensor in adapter.values():
        tensor.requires_grad_()
    n_steps = settings.epochs * math.ceil(len(training) / settings.batch)
    for number in range(1, settings.epochs * settings.cycles + 1):
        if number % settings.epochs == 1 % settings.epochs:
            optimizer = torch.optim.AdamW(
                adapter.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay
            )
            schedule = torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: _rate(step, n_steps)
            )
        started, losses = time.perf_counter(), []
        read = [thinned(document, settings.wrong, rng) for document in training]
        for batch in _batches(read, settings.batch, rng):
            hidden, starts = upper_layers(llama, corpus, batch, adapter)
            value = loss(_read(hidden, starts, batch, adapter), batch, n_whole)
            losses.append(float(value.detach()))
            if settings.language:
                value = value + settings.language * language_loss(llama, hidden, starts, batch)
            optimizer.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(list(adapter.values()), 1.0)
            optimizer.step()
            schedule.step()
        found = predict(llama, corpus, unseen, adapter)
        after, quality = float(loss(found, unseen, n_whole)), _ranked(found, unseen)
        seconds = time.perf_counter() - started
        report(Epoch(number, float(np.mean(losses)), after, quality, seconds))
    return {name: tensor.detach() for name, tensor in adapter.items()}


def thinned(document: Document, n_wrong: int | None, rng: np.random.Generator) -> Document:
    """The document with all right responses and at most `n_wrong` of the wrong ones."""
    import torch

    ends = document.tree.final
    wrong = np.flatnonzero(ends & (document.tree.n_right == 0))
    if n_wrong is None or len(wrong) <= n_wrong:
        return document
    right = np.flatnonzero(ends & (document.tree.n_right > 0))
    drawn = rng.choice(wrong, n_wrong, replace=False)
    grown, places = document.tree.pruned(np.append(right, drawn))
    rows = torch.from_numpy(places)
    n_prefix = document.mask.shape[1] - len(document.mask)
    columns = torch.cat([torch.arange(n_prefix), n_prefix + rows])
    return Document(grown, document.hidden[rows], document.mask[rows][:, columns])


def _ranked(scores: Sequence[Tensor], documents: Sequence[Document]) -> float:
    """Chance that a right ending of a problem outscores a wrong one, mean over problems."""
    found = []
    for given, document in zip(scores, documents, strict=True):
        final, values = document.tree.final, given.numpy()
        right = document.tree.n_right > 0
        ahead = values[final & right][:, None] - values[final & ~right]
        found.append(float(np.mean((ahead > 0) + 0.5 * (ahead == 0))))
    return float(np.mean(found))


def predict(
    llama: Llama, corpus: Corpus, documents: Sequence[Document], adapter: Mapping[str, Tensor]
) -> list[Tensor]:
    """As `logits`, a few documents at a time and without gradients."""
    import torch

    with torch.no_grad():
        return [
            scores
            for start in range(0, len(documents), 4)
            for scores in logits(llama, corpus, documents[start : start + 4], adapter)
        ]


def _rate(step: int, n_steps: int) -> float:
    """Share of the greatest learning rate: up over a tenth of the steps, then down as a cosine."""
    warm = max(1, n_steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, n_steps - warm)))


def _batches(
    documents: Sequence[Document], size: int, rng: np.random.Generator
) -> list[list[Document]]:
    order = rng.permutation(len(documents)).tolist()
    return [[documents[i] for i in order[at : at + size]] for at in range(0, len(order), size)]
