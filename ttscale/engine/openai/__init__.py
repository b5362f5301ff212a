"""Sampling at OpenAI-compatible endpoints: connections, routing, retries, limits."""

from ttscale.engine.openai.config import TRANSPORT, OpenAIConfig, RequestsConfig

__all__ = ["TRANSPORT", "OpenAIConfig", "RequestsConfig"]
