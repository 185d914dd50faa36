"""Scores from predictions alone: NumPy, no model, no GPU, no torch.

What depends on this folder: the stages evaluate and summarize.
"""
