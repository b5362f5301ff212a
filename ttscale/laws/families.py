"""The catalogue of laws: what `--law` may name, and which selector each law is for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ttscale.errors import InputError, closest
from ttscale.laws import curves, majority, mixing
from ttscale.laws.curves import CurveFamily
from ttscale.laws.mixing import ALPHA, BETA, SCALE, UNSOLVABLE, MixingFamily
from ttscale.laws.parameters import Parameter

_SCHAEFFER = "Schaeffer et al., 2025 (2502.17578)"
_BETA = "p ~ Beta(alpha, beta); coverage(k) = 1 - B(alpha, beta+k) / B(alpha, beta)"
_KUMARASWAMY = "p ~ Kumaraswamy(alpha, beta), density alpha beta p^(alpha-1) (1-p^alpha)^(beta-1)"

MIXING = {
    family.name: family
    for family in (
        MixingFamily("beta", _BETA, (ALPHA, BETA), mixing.beta, "Levi, 2024; " + _SCHAEFFER),
        MixingFamily(
            "zero_inflated_beta",
            "a share `unsolvable` of problems has p = 0; for the others " + _BETA,
            (ALPHA, BETA, UNSOLVABLE),
            mixing.beta,
            _SCHAEFFER + ", with a mass at zero",
        ),
        MixingFamily(
            "scaled_beta",
            "p = scale * X, X ~ Beta(alpha, beta)",
            (ALPHA, BETA, SCALE),
            mixing.scaled(mixing.beta),
            _SCHAEFFER,
        ),
        MixingFamily("kumaraswamy", _KUMARASWAMY, (ALPHA, BETA), mixing.kumaraswamy, _SCHAEFFER),
        MixingFamily(
            "zero_inflated_kumaraswamy",
            "a share `unsolvable` of problems has p = 0; for the others " + _KUMARASWAMY,
            (ALPHA, BETA, UNSOLVABLE),
            mixing.kumaraswamy,
            _SCHAEFFER + ", with a mass at zero",
        ),
        MixingFamily(
            "scaled_kumaraswamy",
            "p = scale * X, X ~ Kumaraswamy(alpha, beta)",
            (ALPHA, BETA, SCALE),
            mixing.scaled(mixing.kumaraswamy),
            _SCHAEFFER,
        ),
        MixingFamily(
            "logit_normal",
            "log(p / (1-p)) ~ Normal(mu, sigma)",
            (Parameter("mu", "identity", -2.0, 2.0), Parameter("sigma", "log", np.log(2.0), 0.7)),
            mixing.logit_normal,
            "item response theory: ability minus a normal difficulty",
        ),
        MixingFamily(
            "two_cluster",
            "p ~ share_easy * Beta(easy) + (1 - share_easy) * Beta(hard), by mean, concentration",
            (
                Parameter("mean_easy", "logit", 0.0, 1.5),
                Parameter("concentration_easy", "log", np.log(10.0), 2.5),
                Parameter("mean_hard", "logit", -5.0, 2.0),
                Parameter("concentration_hard", "log", np.log(10.0), 2.5),
                Parameter("share_easy", "logit", 0.0, 1.2),
            ),
            mixing.two_cluster,
            "mixture of two beta-binomials",
        ),
        MixingFamily(
            "saturating",
            "coverage(N) = (1 - unsolvable) (1 - (1-p)^N), F_max = 1 - unsolvable",
            (
                Parameter("p", "logit", -2.0, 2.0),
                Parameter("unsolvable", "logit", -1.0, 1.5),
            ),
            mixing.point,
            "Scaling over Scaling, 2025 (2505.20522)",
        ),
    )
}

_TOP = Parameter("A_inf", "logit", 0.0, 1.5)
_C = Parameter("c", "identity", 0.2, 0.5)

CURVES = {
    family.name: family
    for family in (
        CurveFamily(
            "exponentiated_power",
            "coverage(k) = exp(-A k^-B)",
            (Parameter("A", "log", 0.5, 1.0), Parameter("B", "log", np.log(0.4), 1.0)),
            curves.exponentiated_power,
            "Brown et al., 2024 (2407.21787); " + _SCHAEFFER,
        ),
        CurveFamily(
            "saturating_curve",
            "accuracy(N) = F_max (1 - (1-p)^N)",
            (Parameter("F_max", "logit", 1.0, 1.5), Parameter("p", "logit", -2.0, 2.0)),
            curves.saturating,
            "Scaling over Scaling, 2025 (2505.20522)",
        ),
        CurveFamily(
            "sigmoid",
            "accuracy(C) = L + (U - L) / (1 + exp(-s (log C - m)))",
            (
                Parameter("L", "logit", -2.0, 1.5),
                Parameter("U", "logit", 1.0, 1.5),
                Parameter("s", "log", 0.0, 0.7),
                Parameter("m", "identity", 3.0, 5.0),
            ),
            curves.sigmoid,
            "logistic in log budget",
        ),
        CurveFamily(
            "power_to_asymptote",
            "accuracy(k) = A_inf - c k^-b",
            (_TOP, _C, Parameter("b", "log", np.log(0.7), 0.7)),
            curves.power_to_asymptote,
            "majority's limit with a free exponent",
        ),
        CurveFamily(
            "one_over_k",
            "accuracy(k) = A_inf - c / k",
            (_TOP, _C),
            curves.one_over_k,
            "two-answer majority, smooth density at 1/2",
        ),
        CurveFamily(
            "offset_one_over_k",
            "accuracy(k) = A_inf - c / (k + k_0)",
            (_TOP, _C, Parameter("k_0", "log", 0.0, 1.5)),
            curves.offset_one_over_k,
            "two-answer majority, with an offset for small k",
        ),
        CurveFamily(
            "majority_mixture",
            "accuracy(k) = E Maj_k(p), p ~ Beta(alpha, beta); A_inf = P(p > 1/2)",
            (Parameter("alpha", "log", 0.0, 1.2), Parameter("beta", "log", 0.0, 1.2)),
            majority.majority_mixture,
            "two-answer majority over problems",
            stride=2,
        ),
        CurveFamily(
            "overoptimization",
            "accuracy(k) = A_1 + d (a - b d), d = sqrt(log k - (k-1)/k)",
            (
                Parameter("A_1", "identity", 0.3, 0.3),
                Parameter("a", "identity", 0.1, 0.3),
                Parameter("b", "identity", 0.0, 0.1),
            ),
            curves.overoptimization,
            "Gao, Schulman and Hilton, 2022 (2210.10760)",
            turns_down=True,
        ),
    )
}

POOLED = "pooled"
POWER_LAW = "exponentiated_power"

# Laws with a power-law left tail of p and no other feature: those of which the exponentiated
# power law is the limit (Schaeffer et al., 2025, theorem), and with which it shares a pool.
POWER_TAILED = ("beta", "scaled_beta", "kumaraswamy", "scaled_kumaraswamy")

# What `auto` tries for each kind of curve.
COVERAGE_LAWS = (*MIXING, POWER_LAW, "power_to_asymptote", "sigmoid")
MAJORITY_LAWS = (
    "one_over_k", "offset_one_over_k", "power_to_asymptote", "majority_mixture",
    "saturating_curve", "sigmoid",
)  # fmt: skip
SELECTOR_LAWS = (
    "one_over_k", "offset_one_over_k", "power_to_asymptote", "saturating_curve", "sigmoid",
    "overoptimization",
)  # fmt: skip
BUDGET_LAWS = ("sigmoid", "power_to_asymptote", "exponentiated_power", "overoptimization")


def law_names() -> list[str]:
    """Every law by name, the pooled one of coverage and ParScale's included."""
    return sorted({POOLED, "parscale", *MIXING, *CURVES})


def choose(law: str, offered: Iterable[str]) -> tuple[str, ...]:
    """The names to fit for `law`: all offered ones for 'auto', else that one."""
    offered = tuple(offered)
    if law == "auto":
        return offered
    if law not in offered:
        raise InputError(
            "There is no such law for this curve.",
            where="law",
            got=law,
            hint=closest(law, ("auto", *offered)),
        )
    return (law,)
