"""Sampling and scoring at OpenAI-compatible endpoints: connections, routing, retries, limits."""

from ttscale.engine.openai.config import (
    TRANSPORT,
    OpenAIConfig,
    OpenAIRewardConfig,
    RequestsConfig,
)

__all__ = ["TRANSPORT", "OpenAIConfig", "OpenAIRewardConfig", "RequestsConfig"]
