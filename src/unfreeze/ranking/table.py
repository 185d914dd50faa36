"""The tables of what is ranked: their names and columns, for those who write and who read them."""

MODELS = "models.csv"  # a row a model, best first: what it is and its scores, "" where it has none
SECONDS = "seconds.csv"  # a row a model: what its features and each score took
SCORES = ("linear_probe", "k_nn", "logme", "h_score", "leep", "nce")  # files of ranking/scores
HEADER = ("model", "images", "image_size", "dimensions", "source_classes", "parameters",
          "operations", *SCORES)
TIMED = ("features", *SCORES)
