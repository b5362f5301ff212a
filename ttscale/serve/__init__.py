"""An OpenAI-compatible server in front of strategies: each configured one is a model."""
