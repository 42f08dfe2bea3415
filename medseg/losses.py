"""Losses for labels and for overlapping regions, by name."""
