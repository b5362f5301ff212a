"""When to stop, and whom to trust: pure functions that adaptive strategies share."""
