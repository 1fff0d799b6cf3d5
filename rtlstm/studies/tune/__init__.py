"""Tuning of a forecaster on the first part of a stream, judged on the rest of it."""
