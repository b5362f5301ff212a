"""Benchmarks: where questions come from, how they are put, how answers are found and graded."""
