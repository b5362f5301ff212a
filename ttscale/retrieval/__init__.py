"""Documents out of a local corpus, for strategies that look things up."""
