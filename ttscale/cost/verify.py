"""Verifier passes: reward models that score what is there, and judges that generate a verdict."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ttscale.cost.architecture import Architecture
from ttscale.cost.work import Work, decode_work, prefill_work


def score_work(
    reward_model: Architecture,
    n_prompt: int,
    step_ends: npt.ArrayLike,
    *,
    reuse: bool = True,
    batch: float = 1.0,
) -> Work:
    """Score a response after each of its steps.

    Parameters
    ----------
    reward_model : its score head is too small to count.
    n_prompt : tokens before the response.
    step_ends : response tokens at the end of each step, rising; one entry scores once.
    reuse : whether a score continues from the cache of the one before it: L + T_final tokens in
        all, against the sum of L + T_j without.
    batch : responses scored in the same pass.
    """
    ends = n_prompt + np.asarray(step_ends, np.int64)
    starts = np.concatenate([[0], ends[:-1]]) if reuse else np.zeros_like(ends)
    return prefill_work(reward_model, ends - starts, starts, head=False, batch=batch).sum()


def judge_work(
    judge: Architecture,
    n_context: int,
    n_verdict: int,
    n_verdicts: int = 1,
    *,
    batch: float | None = None,
    shared_reads: bool = False,
) -> Work:
    """Sample `n_verdicts` verdicts of `n_verdict` tokens on one problem and response.

    The context is processed once. `batch` is the number decoded together, all verdicts where not
    given; `shared_reads` as in `decode_work`.
    """
    together = float(n_verdicts) if batch is None else batch
    verdicts = decode_work(
        judge,
        n_context,
        n_verdict,
        batch=together,
        sharers=n_verdicts if shared_reads else 1,
    )
    return (prefill_work(judge, n_context) + verdicts * n_verdicts).sum()
