"""The tables of tools/bench: ours beside the peers and the limits, in one run."""
