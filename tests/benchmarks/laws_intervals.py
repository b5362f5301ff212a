"""How often 95 % intervals of a law hold the truth, on simulated pools with known truth.

    python tests/benchmarks/laws_intervals.py [--repeats 200] [--n 100] [--only two_cluster …]

Prints Markdown tables: the share of pools whose interval holds each parameter, the curve within
and far beyond the fitted range, and the saturation points.
"""

from __future__ import annotations

import argparse

import numpy as np

from ttscale.laws import MIXING, fit_coverage
from ttscale.laws.grid import Grid
from ttscale.laws.lawfit import LawFit, Search
from ttscale.laws.saturation import saturation_points

N_PROBLEMS, N_BOOTSTRAP = 128, 300
TRUE = {
    "beta": (0.4, 3.0),
    "zero_inflated_beta": (0.5, 3.0, 0.15),
    "scaled_beta": (0.4, 2.5, 0.5),
    "kumaraswamy": (0.4, 3.0),
    "zero_inflated_kumaraswamy": (0.5, 3.0, 0.15),
    "scaled_kumaraswamy": (0.5, 2.0, 0.4),
    "logit_normal": (-2.0, 2.0),
    "two_cluster": (0.5, 8.0, 0.01, 50.0, 0.6),
    "saturating": (0.05, 0.3),
}


def draw(name: str, values: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """Success probabilities of 128 problems under a law."""
    size = N_PROBLEMS
    if name == "logit_normal":
        return 1 / (1 + np.exp(-rng.normal(values[0], values[1], size)))
    if name == "saturating":
        return np.where(rng.random(size) < values[1], 0.0, values[0])
    if name == "two_cluster":
        easy, size_easy, hard, size_hard, share = values
        first = rng.beta(easy * size_easy, (1 - easy) * size_easy, size)
        second = rng.beta(hard * size_hard, (1 - hard) * size_hard, size)
        return np.where(rng.random(size) < share, first, second)
    a, b = values[:2]
    if "beta" in name:
        p = rng.beta(a, b, size)
    else:
        p = (1 - (1 - rng.random(size)) ** (1 / b)) ** (1 / a)
    if name.startswith("zero"):
        return np.where(rng.random(size) < values[2], 0.0, p)
    return p * (values[2] if name.startswith("scaled") else 1.0)


def held(name: str, law: str, n: int, repeats: int) -> dict[str, np.ndarray]:
    """For every quantity, whether the interval of each repeat held the truth."""
    family, values = MIXING[name], np.array(TRUE[name])
    nothing = Search(0, 0, 0.0, 0, 1.0)
    free = family.free(values)
    truth = LawFit(family, free, free[None], nothing, 0.95, grid=Grid(100_000))
    ks = np.array([1.0, 10, n, 10 * n, 100 * n])
    curve = truth.curves(free[None], ks)[0]
    points = {
        (e, per): saturation_points(truth, free[None], e, 100.0 * n, per)[0]
        for e, per in ((0.01, "sample"), (0.001, "sample"), (0.02, "doubling"))
    }
    result: dict[str, list[bool]] = {}
    for repeat in range(repeats):
        rng = np.random.default_rng([17, repeat])
        counts = rng.binomial(n, draw(name, TRUE[name], rng))
        fit = fit_coverage(
            np.full(N_PROBLEMS, n), counts, law=law, n_bootstrap=N_BOOTSTRAP, rng=rng
        )
        if law != "auto":
            for (key, e), value in zip(fit.laws[0].parameters().items(), values, strict=True):
                result.setdefault(key, []).append(e.low <= value <= e.high)
        prediction = fit.predict(ks)
        for k, value, low, high in zip(ks, curve, prediction.low, prediction.high, strict=True):
            result.setdefault(f"coverage at {k:g}", []).append(low <= value <= high)
        for (epsilon, per), value in points.items():
            end = fit.saturation(epsilon, per=per)
            low = np.inf if end.low is None else end.low
            high = np.inf if end.high is None else end.high
            result.setdefault(f"N*, {epsilon:g} a {per}", []).append(low <= value <= high)
    return {key: np.array(x) for key, x in result.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--law", default="true", help="'true': the family drawn from; or 'auto'")
    parser.add_argument("--only", nargs="+", choices=TRUE, default=list(TRUE))
    arguments = parser.parse_args()
    print(
        f"{N_PROBLEMS} problems, n = {arguments.n}, {arguments.repeats} pools, {N_BOOTSTRAP} "
        f"resamples, law fitted: {arguments.law}; % of 95 % intervals that hold the truth\n"
    )
    everything: list[np.ndarray] = []
    for name in arguments.only:
        values = TRUE[name]
        law = "auto" if arguments.law == "auto" else name
        shares = held(name, law, arguments.n, arguments.repeats)
        everything += list(shares.values())
        cells = ", ".join(f"{key} {100 * x.mean():.0f}" for key, x in shares.items())
        print(f"| {name} {values} | {cells} |", flush=True)
    rates = np.array([x.mean() for x in everything])
    within = 100 * np.mean((rates > 0.925) & (rates < 0.975))
    print(
        f"\nmean {100 * rates.mean():.1f} %, {within:.0f} % of {len(rates)} within 92.5 to 97.5 %"
    )


if __name__ == "__main__":
    main()
