"""Scoring of files: match, check geometry, score every case, write the tables."""
