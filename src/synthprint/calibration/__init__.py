"""Scores in, likelihood ratios out that can be defended: maps, their limits, and the population behind them."""
