"""Test-time compute scaling of language models: strategies on vLLM, every token accounted for."""

from ttscale.errors import InputError, TTScaleError
from ttscale.strategy import STEP, Positive, Share, Strategy, Until, Verifier
from ttscale.trace import Answer, Path, Problem
from ttscale.vote import Vote, argmax, plurality

__version__ = "0.1.0"

__all__ = [
    "STEP",
    "Answer",
    "InputError",
    "Path",
    "Positive",
    "Problem",
    "Share",
    "Strategy",
    "TTScaleError",
    "Until",
    "Verifier",
    "Vote",
    "argmax",
    "plurality",
]
