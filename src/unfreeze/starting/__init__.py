"""A study of one's own images: what `unfreeze new` does, and from Python

    from unfreeze.starting import new

    if __name__ == "__main__":  # several processes read the photos
        started = new("flowers", "path/to/folder")
        print(started.folder, started.seconds)

    look.py        what the images are: classes, counts, sizes, copies
    ranking.py     which models are worth most for them, before any is trained
    settings.py    what fits them: image size, epochs, folds, seeds, by the time there is
    lora.py        the rank of LoRA that fits the model
    written.py     the files of the study
    study.py       all of it, in order
"""

from unfreeze.starting.study import Started, new

__all__ = ["Started", "new"]
