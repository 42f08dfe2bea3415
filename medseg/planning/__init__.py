"""Fingerprint of a data set, and later the bundle that fits it."""
