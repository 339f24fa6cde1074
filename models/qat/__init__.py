"""Quantisation-aware training: fold, calibrate, and train the network in integer units."""
