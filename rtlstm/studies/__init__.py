"""Studies on data: comparison with other methods, tuning, and the papers' experiments.

Everything here is built from what the package offers to any user, and nothing in the package but
the command line imports it. Libraries that only a study needs are imported where they are used.
"""
