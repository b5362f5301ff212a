"""Reward models on vLLM: their prompt formats as data, and the engine that scores."""

from ttscale.engine.reward.engine import RewardConfig, RewardEngine
from ttscale.engine.reward.format import RewardFormat

__all__ = ["RewardConfig", "RewardEngine", "RewardFormat"]
