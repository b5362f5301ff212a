"""Fit on k <= 100, predict k = 10,000: the laws beside the plain log-log fit.

    python tests/benchmarks/laws_extrapolation.py [--repeats 40] [--settings 100:100 10000:100]

Prints Markdown tables: median relative error over simulated pools of 128 problems, against the
coverage of infinitely many problems and that of the pool's own 128.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from laws_truths import TRUTHS, Truth

from ttscale.laws import fit_coverage, loglog_fit
from ttscale.stats import log_spaced, pass_at_k

N_PROBLEMS, FAR = 128, 10_000.0
# n samples a problem : the k that a fit may use.
SETTINGS = ("100:100", "1000:100", "10000:100", "10000:10000")


METHODS = ("pooled", "log-log", "its own law")


def errors(truth: Truth, limit: float, n: int, fit_up_to: int, repeats: int) -> np.ndarray:
    """Relative errors of 1 - coverage of the law and of the pool, and of coverage of the law.

    Shape (repeats, 3, methods); `limit` is 1 - coverage of infinitely many problems. The last
    method fits only the law that the truth is drawn from, which no one knows in practice: what is
    left of its error, the data do not say.
    """
    far = np.array([FAR])
    result = []
    for repeat in range(repeats):
        rng = np.random.default_rng([repeat, n])
        p = truth.draw(rng, N_PROBLEMS)
        counts = rng.binomial(n, p)
        drawn = np.full(N_PROBLEMS, n)
        fit = fit_coverage(drawn, counts, fit_up_to=fit_up_to, n_bootstrap=0, rng=rng)
        ks = log_spaced(100, 40)
        plain = loglog_fit(ks, pass_at_k(drawn[:, None], counts[:, None], ks).mean(axis=0))
        own_law = next(law for law in fit.laws if law.name == truth.law)
        guesses = 1 - np.array(
            [
                fit.predict(FAR).value[0],
                plain.coverage(far)[0],
                own_law.curves(own_law.free[None], far)[0, 0],
            ]
        )
        own = ((1 - p) ** FAR).mean()
        gap, own_gap = np.abs(guesses - limit), np.abs(guesses - own)
        result.append([gap / limit, own_gap / max(own, 1e-12), gap / (1 - limit)])
    return np.array(result)


def row(label: str, n: int, fit_up_to: int, all_errors: np.ndarray) -> str:
    """A row of either table: medians over pools."""
    cells = np.median(all_errors, axis=0).ravel()
    return f"| {label} | {n} | {fit_up_to} | " + " | ".join(f"{x:.3g}" for x in cells) + " |"


def head(label: str) -> str:
    """The head of either table."""
    quantities = ("1-cov", "1-cov of the pool's own", "cov")
    cells = [f"{q}: {m}" if m == METHODS[0] else m for q in quantities for m in METHODS]
    return f"| {label} | n | k fitted | " + " | ".join(cells) + " |\n" + "|---" * 12 + "|"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--settings", nargs="+", default=SETTINGS, help="n:k, samples and k fitted")
    arguments = parser.parse_args()
    repeats = arguments.repeats
    print(f"{repeats} pools of {N_PROBLEMS} problems a row; median relative error at k = {FAR:g}\n")
    print(head("truth (1-cov at k = 10,000)"))
    limits = [truth.failure(np.array([FAR]))[0] for truth in TRUTHS]
    groups: dict[tuple[str, int, int], list[np.ndarray]] = {}
    for n, fit_up_to in (map(int, setting.split(":")) for setting in arguments.settings):
        for truth, limit in zip(TRUTHS, limits, strict=True):
            all_errors = errors(truth, limit, n, fit_up_to, repeats)
            groups.setdefault((truth.group, n, fit_up_to), []).append(all_errors)
            print(row(f"{truth.name} ({limit:.3g})", n, fit_up_to, all_errors), flush=True)
    print("\n" + head("family"))
    for (group, n, fit_up_to), parts in groups.items():
        print(row(group, n, fit_up_to, np.concatenate(parts)))


if __name__ == "__main__":
    main()
