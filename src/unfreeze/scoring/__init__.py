"""Scores from predictions alone: NumPy, no model, no GPU, no torch.

What depends on this folder: config.py (names of metrics and costs, claims), reporting/, the stages
evaluate and compare.
"""
