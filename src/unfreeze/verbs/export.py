"""`unfreeze export`: docs/use-the-model.md."""

import argparse
from pathlib import Path

from unfreeze.errors import UserError, nearest

HELP = "write a trained model as files that run without this project"
DESCRIPTION = """\
Write the model of a study's recommended run, or of another, into a folder: safetensors, a
torch.export program and ONNX, each checked against the trained model on test images, with the
preparation of pictures, an example and a model card. docs/use-the-model.md has more."""
EXAMPLE = """\
examples:
  unfreeze export flowers --to flowers-model
  unfreeze export . lora --to model --formats safetensors,pt2
  unfreeze export . --to small-model --int8"""
ORDER = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="[STUDY] [RUN]",
                        help="a study's folder or name (default: this folder), a run of it "
                             "(default: the recommended one)")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER",
                        help="new, empty, or an earlier export, which is replaced")
    parser.add_argument("--seed", type=int, help="whose model (default: the first)")
    parser.add_argument("--formats", type=_formats, default=("safetensors", "pt2", "onnx"),
                        metavar="A,B", help="of safetensors, pt2, onnx (default: all)")
    parser.add_argument("--int8", action="store_true",
                        help="an ONNX model of 8 bits too, and what that costs in accuracy")


def _formats(text: str) -> tuple[str, ...]:
    known = ("safetensors", "pt2", "onnx")
    found = tuple(dict.fromkeys(text.split(",")))
    if not set(found) <= set(known):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed are "
                                         f"{', '.join(known)}, with commas between them")
    return found


def run(arguments: argparse.Namespace) -> None:
    from unfreeze.data.photos.names import shown
    from unfreeze.using import studies

    study, name, rest = studies.named(arguments.words)
    known = studies.runs(study)
    if known and rest and len(rest) == len(arguments.words):
        raise UserError(f"{shown(rest[0])}: no study, and no run of this folder"
                        f"{nearest(rest[0], [*studies.names(), *known])}; "
                        "`unfreeze export [STUDY] [RUN] --to FOLDER`")
    studies.chosen(study, *rest[:1] or [name])
    if rest:
        raise UserError(f"{rest[-1]}: is too much; `unfreeze export [STUDY] [RUN] --to FOLDER`")
    from unfreeze.using.export import exporting  # here: torch takes seconds to import

    for line in exporting.export(study, name, arguments.to, arguments.seed, arguments.formats,
                                 arguments.int8):
        print(line)
