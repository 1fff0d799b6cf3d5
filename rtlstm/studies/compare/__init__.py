"""Comparison of forecasting methods on one stream, each forecasting a row before it sees it."""
