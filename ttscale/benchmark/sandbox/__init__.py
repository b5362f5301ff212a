"""The sandbox: programs that a model wrote run here and nowhere else."""

from ttscale.benchmark.sandbox.outside import (
    Check,
    Limits,
    Outcome,
    Verdict,
    ready,
    refusal,
    run_checks,
)

__all__ = ["Check", "Limits", "Outcome", "Verdict", "ready", "refusal", "run_checks"]
