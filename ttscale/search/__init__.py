"""What search strategies share: pure functions on scores and on lists of paths, one noun a file."""
