"""Which model, before training any: pretrained models scored by what they make of the training
images, as `rank:` in params.yaml lists them.

    features.py    a model with its own classifier; what it puts out for some images
    scores/        one file a score: what it says of such features
    rank.py        the scores of some models, each with what it took
    of_study.py    those of a study, for the stage rank
    order.py       how alike two orders of models are

Nothing is trained but a linear layer on features that stay, and no test image is read.
"""
