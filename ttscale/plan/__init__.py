"""What to run for a budget: recommendation, frontier, allocation by difficulty, verification.

    from ttscale.plan import plan

    plan([Path("results/demo")], "1e13 FLOPs").to_json()["recommendation"]

Works from run folders, pools and counts files; needs neither torch nor a model.
"""

from ttscale.plan.allocate import allocate, hull_allocation
from ttscale.plan.frontier import pareto_frontier
from ttscale.plan.matched import flops_matched_samples
from ttscale.plan.plan import Budget, Plan, plan
from ttscale.plan.verify import accuracy_grid, best_split, verification_cost

__all__ = [
    "Budget",
    "Plan",
    "accuracy_grid",
    "allocate",
    "best_split",
    "flops_matched_samples",
    "hull_allocation",
    "pareto_frontier",
    "plan",
    "verification_cost",
]
