"""One file a strategy, named as in its paper."""
