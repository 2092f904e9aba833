"""From scores to likelihood ratios that can be defended: maps, their limits, and the population behind them."""
