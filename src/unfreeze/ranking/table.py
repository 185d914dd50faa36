"""The tables of what is ranked: their names and columns, for those who write and who read them."""

MODELS = "models.csv"  # a row a model, best first: what it is and its scores, "" where it has none
SECONDS = "seconds.csv"  # a row a model: what its features and each score took
# {score, a file of ranking/scores: how it is called, and its decimals}
SCORES = {"linear_probe": ("linear probe (%)", 1), "k_nn": ("nearest neighbours (%)", 1),
          "logme": ("LogME", 3), "h_score": ("H-score", 2), "leep": ("LEEP", 3), "nce": ("NCE", 3)}
HEADER = ("model", "images", "image_size", "dimensions", "source_classes", "parameters",
          "operations", *SCORES)
TIMED = ("features", *SCORES)
