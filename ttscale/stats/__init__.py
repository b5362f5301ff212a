"""Estimators at every k from a whole pool, and intervals that treat problems as the random unit.

Arrays in, arrays out: no pool class, no torch, and scipy only where a function needs it.
Definitions, measured accuracy and speed: docs/estimators.md.
"""

from ttscale.stats.benchmarks import (
    interquartile_mean,
    median_of_tasks,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)
from ttscale.stats.calibration import (
    CalibrationError,
    Reliability,
    brier,
    calibration_error,
    cross_fitted,
    isotonic,
    platt,
    reliability,
)
from ttscale.stats.coverage import (
    AcceptFirst,
    accept_first,
    g_pass_at_k,
    pass_at_k,
    pass_hat_k,
    rate_until_success,
    within_problem_variance,
)
from ttscale.stats.efficiency import (
    Frontier,
    arise,
    cost_of_pass,
    cost_of_pass_frontier,
    s1_control,
    s1_performance,
    s1_scaling,
)
from ttscale.stats.intervals import (
    Difference,
    Interval,
    mean_interval,
    paired_difference,
    problem_weights,
    replicates,
)
from ttscale.stats.majority import majority_at_k, majority_at_k_iid, majority_limit
from ttscale.stats.mixture import (
    RateMixture,
    rate_mixture,
)
from ttscale.stats.ordering import best_of_k, expected_longest, selection_efficiency
from ttscale.stats.paired import (
    holm,
    paired_p_value,
)
from ttscale.stats.pool_curves import Curves, curves, log_spaced
from ttscale.stats.proportions import (
    McNemar,
    design_effect,
    jeffreys,
    mcnemar,
    pass_at_k_posterior,
    wilson,
)
from ttscale.stats.ranking import (
    RankQuality,
    auroc,
    average_precision,
    rank_quality,
)
from ttscale.stats.turning import (
    TurningPoint,
    turning_point,
)
from ttscale.stats.voting import Estimate, weighted_majority_at_k

__all__ = [
    "AcceptFirst",
    "CalibrationError",
    "Curves",
    "Difference",
    "Estimate",
    "Frontier",
    "Interval",
    "McNemar",
    "RankQuality",
    "RateMixture",
    "Reliability",
    "TurningPoint",
    "accept_first",
    "arise",
    "auroc",
    "average_precision",
    "best_of_k",
    "brier",
    "calibration_error",
    "cost_of_pass",
    "cost_of_pass_frontier",
    "cross_fitted",
    "curves",
    "design_effect",
    "expected_longest",
    "g_pass_at_k",
    "holm",
    "interquartile_mean",
    "isotonic",
    "jeffreys",
    "log_spaced",
    "majority_at_k",
    "majority_at_k_iid",
    "majority_limit",
    "mcnemar",
    "mean_interval",
    "median_of_tasks",
    "optimality_gap",
    "paired_difference",
    "paired_p_value",
    "pass_at_k",
    "pass_at_k_posterior",
    "pass_hat_k",
    "performance_profile",
    "platt",
    "probability_of_improvement",
    "problem_weights",
    "rank_quality",
    "rate_mixture",
    "rate_until_success",
    "reliability",
    "replicates",
    "s1_control",
    "s1_performance",
    "s1_scaling",
    "selection_efficiency",
    "stratified_bootstrap",
    "turning_point",
    "weighted_majority_at_k",
    "wilson",
    "within_problem_variance",
]
