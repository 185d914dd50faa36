"""`unfreeze new`: a study of one's own images."""

import argparse
import math
import os
from contextlib import suppress

HELP = "make a study of your images"
DESCRIPTION = """\
Look at images once and make a study that fits them, in studies/NAME: five strategies of
fine-tuning the model whose features say most of the images, and the next best model beside it,
each at its best learning rate, as long as the time allows. It says what it found, how long the
study takes here, and what it would do with twice the time. Nothing is trained before you run
`dvc repro` in its folder."""
EXAMPLE = """\
examples:
  unfreeze new flowers --images path/to/folder
  unfreeze new pets --images photos.zip --hours 0.5
  unfreeze new cifar --images cifar10 --model resnet18

A folder has a sub-folder a class, perhaps within train/ and test/; an archive holds such a folder.
A table of labels (.csv) has a column for the path and one for the label of each image."""
ORDER = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="of the study; with a slash, a path in this project")
    parser.add_argument("--images", required=True, metavar="PATH",
                        help="a folder, an archive (.zip, .tar), a table of labels (.csv), the "
                             "address of an archive, or a dataset of the catalogue")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", help="to fine-tune, by its name in torchvision (default: the "
                                       "best of --rank)")
    which.add_argument("--rank", type=_names, metavar="MODELS",
                       help="models or patterns of names with commas between, of which the two are "
                            "taken whose features say most of the images (default: some that are "
                            "small)")
    parser.add_argument("--hours", type=_hours, default=1.0,
                        help="that the study may take here (default: 1)")
    parser.add_argument("--skip-broken", action="store_true",
                        help="leave out files that are no sound images")


def run(arguments: argparse.Namespace) -> None:
    from unfreeze.starting import new, ranking  # here: --help needs nothing of it

    rank = () if arguments.model else arguments.rank or ranking.candidates()
    started = new(arguments.name, arguments.images, arguments.model or "", arguments.hours,
                  arguments.skip_broken, say=lambda text: print(text, flush=True), rank=rank)
    setting, folder = started.setting, os.path.relpath(started.folder)
    models = " and ".join(filter(None, (started.model, started.other)))
    print(f"{folder}: {models} at {setting.image_size} pixels, {setting.epochs} epochs, "
          f"{setting.rates} learning rates, " + (
              f"{setting.folds} folds, " if setting.folds > 1 else "") + f"{setting.seeds} seeds"
          + (f", {setting.fraction:.3g} of the training images" if setting.fraction < 1 else ""))
    for line in started.warnings:
        print(f"warning: {line}")
    print(f"it takes {_duration(started.seconds)} here, besides downloads" + (
        f": more than --hours {arguments.hours:g}, and less would say nothing"
        if started.seconds > started.limit else ""))
    if started.twice:
        hours = math.ceil(round(200 * max(arguments.hours, started.seconds / 3600), 6)) / 100
        print(f"with twice the time (--hours {hours:g}): {', '.join(started.twice)}")
    print(f"next: cd {folder} && dvc repro")


def _hours(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not allowed; it must be a number above 0")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("is empty; it must be models or patterns of their names, "
                                         "with commas between")
    return names


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return f"about {minutes} minute{'s' * (minutes > 1)}"
    return f"about {seconds / 3600:.1f} hours"
