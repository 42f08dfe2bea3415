"""Find, run, check and export a bundle."""
