"""The questions of (Mis)Fitting (2502.18969), answered by every fit about itself."""

from __future__ import annotations

from collections.abc import Sequence

from ttscale.laws.lawfit import LawFit
from ttscale.laws.mixing import MixingFamily


def checklist(
    laws: Sequence[LawFit],
    *,
    selected: str,
    unit: str,
    n_problems: int,
    n_rows: str,
    fitted_range: tuple[float, float],
    dropped: Sequence[str],
    selection: str,
    n_resamples: int,
) -> dict[str, object]:
    """Form, units, data, loss, optimiser, starts, bounds, weights, validation and uncertainty."""
    return {
        "forms": {law.name: law.family.form for law in laws},
        "sources": {law.name: law.family.source for law in laws},
        "selected": selected,
        "unit_of_budget": unit,
        "n_problems": n_problems,
        "data": n_rows,
        "fitted_range": list(fitted_range),
        "dropped_points": list(dropped),
        "loss": {law.name: _loss(law) for law in laws},
        "weights": "every problem counts once; no point of the curve is weighted by hand",
        "optimiser": (
            "damped Newton (Levenberg-Marquardt) with analytic gradients, curvature corrected by "
            "the last step near the top (BFGS), ended when twice the gain still expected is below "
            "1e-6 nats (1e-4 in bootstrap refits)"
        ),
        "starts": {
            law.name: {
                "n_starts": law.search.n_starts,
                "within_0.01_of_the_best": law.search.n_reached,
                "spread_of_end_values": law.search.spread,
            }
            for law in laws
        },
        "priors": {
            law.name: {
                p.name: f"{p.link} scale, centre {p.centre:.3g}, spread {p.spread:.3g}"
                for p in law.family.parameters
            }
            for law in laws
        },
        "bounds": "positive parameters e^-30 to e^30, shares 1e-7 to 1 - 1e-7, others free",
        "validation": selection,
        "uncertainty": (
            f"clustered bootstrap: {n_resamples} resamples of problems with their counts kept "
            "intact, every law refitted to each with its prior's centre redrawn; percentiles"
        ),
        "refits_converged": {law.name: law.search.refits_converged for law in laws},
        "checkpoints": "not applicable: one model, one pool",
    }


def _loss(law: LawFit) -> str:
    if isinstance(law.family, MixingFamily):
        return "minus log-likelihood of the counts, plus a weak normal prior on the free scale"
    return "sum of squares of accuracy, plus a faint ridge"
