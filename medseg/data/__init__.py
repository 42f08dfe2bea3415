"""Manifests, reading, checking, splits and phantoms: everything between a folder and an array."""
