"""A simulated model and engine: known truth, no weights, the same tokens on every machine.

`SimulatedEngine` implements the engine protocol; `simulated_items` makes problems it can solve with
known probabilities; `steps_right` reads the truth of a partial solution from its text.
"""

from ttscale.engine.simulated.batching import TimingConfig
from ttscale.engine.simulated.distributions import Counts, Fixed, Lognormal, Uniform
from ttscale.engine.simulated.engine import SimulatedConfig, SimulatedEngine, Totals
from ttscale.engine.simulated.law import WorldConfig
from ttscale.engine.simulated.problems import (
    BetaSuccess,
    FixedSuccess,
    Success,
    Truth,
    question,
    simulated_items,
)
from ttscale.engine.simulated.reward import SimulatedRewardConfig, SimulatedScorer
from ttscale.engine.simulated.solution import steps_right

__all__ = [
    "BetaSuccess",
    "Counts",
    "Fixed",
    "FixedSuccess",
    "Lognormal",
    "SimulatedConfig",
    "SimulatedEngine",
    "SimulatedRewardConfig",
    "SimulatedScorer",
    "Success",
    "TimingConfig",
    "Totals",
    "Truth",
    "Uniform",
    "WorldConfig",
    "question",
    "simulated_items",
    "steps_right",
]
