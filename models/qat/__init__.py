"""The network in integer units while it trains: folded, calibrated, quantised."""
