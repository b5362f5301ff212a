"""Grading: what can be settled here and now, and worker processes for the rest."""

from ttscale.benchmark.grading.grader import Grade, Grader

__all__ = ["Grade", "Grader"]
