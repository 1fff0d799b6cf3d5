"""Methods of forecasting: each a class over a well-kept library, and one row of the table."""
