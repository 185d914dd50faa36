"""What pictures are drawn with: Vega-Lite where they are made of lines, points and text (vega.py),
matplotlib where they are made of pixels (pixels.py). The stages plot and show-data share it.

Same data, same bytes: no dates, no random ids.
"""
