"""What chooses among finished solutions: weights of votes, utilities, and models that are asked."""
