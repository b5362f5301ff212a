"""One run on many machines: a driver that hands out problems, and Ray workers with their engines.

Each worker journals on its own node before a strategy sees anything, and every committed row flows
to the driver's journal, which is the run's. A problem counts as done once its rows have arrived.
What a lost worker had committed is taken from its journal where the driver, or the next worker on
that node, can see it; its unfinished problems go to others, who ask the driver for what is known
before they ask a model.
"""
