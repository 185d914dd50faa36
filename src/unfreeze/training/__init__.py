"""The training engine: from a recipe to trained weights, predictions, a history and costs.

What depends on this folder: the stage train and benchmarks/. Importing it imports torch.
"""
