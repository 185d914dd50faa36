"""Scores of one run from its predictions alone: NumPy; no model, no GPU, no torch, no SciPy."""
