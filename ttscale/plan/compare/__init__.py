"""Verifiers side by side on the same samples: what each is worth, at which k and at what cost."""

from ttscale.plan.compare.comparison import Comparison, compare
from ttscale.plan.compare.prices import Prices

__all__ = ["Comparison", "Prices", "compare"]
