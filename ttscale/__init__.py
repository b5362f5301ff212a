"""Test-time compute scaling of language models."""
