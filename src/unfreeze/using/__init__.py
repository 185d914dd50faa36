"""A trained run in use: what `unfreeze predict`, `unfreeze export` and `unfreeze open` do.

    studies.py     which study is meant, which run it recommends, and whether that is trained
    trained.py     the models of a run, how sure they may be, and what they say of pictures
    pictures.py    files, folders and archives of pictures, prepared as in training
    predict.py     a class and a probability for each
    scored.py      how well that is done, where the right classes are known
    tables.py      predictions as CSV, as JSON lines
    sheet.py       the pictures themselves on a page, sorted by confidence
    export/        a model as files that run without this project
    opening.py     the report in a browser
"""
