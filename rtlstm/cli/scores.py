"""Where a forecaster stands against repeating the last value, read from its running metrics."""
