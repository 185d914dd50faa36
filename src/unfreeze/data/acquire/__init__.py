"""Bringing a dataset into its folder, _made/data/NAME: what the stage fetch-data does."""
