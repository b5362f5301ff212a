"""Other tools' files: sampled answers into a pool, and pools out again.

Each reader gives an `Imported`: rows, what the files say about how they were made, and what was
left out. Facts that a format does not hold stay missing.
"""
