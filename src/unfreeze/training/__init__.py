"""The training engine: from a recipe to trained weights, predictions, a history and costs.

Importing it imports torch.
"""
