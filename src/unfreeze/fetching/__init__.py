"""Bringing bytes from wherever they can be had: of datasets and of official weights alike."""
