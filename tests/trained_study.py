"""A study whose run is trained in this process, without DVC, for the tests of what uses its models:
photos of every awkward kind in three classes, and a model that is tiny."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import tiny_recipe
from unfreeze import files, places
from unfreeze import recipe as recipes
from unfreeze.data import decoding, subsets
from unfreeze.data.acquire import fetch
from unfreeze.data.facts import facts_of
from unfreeze.data.reading import arrays, decoded
from unfreeze.params.plan import Decoded
from unfreeze.recipe import PinnedDataset, PinnedSubset, Preprocessing
from unfreeze.training import devices, outputs, run
from unfreeze.training.inputs import Inputs

SEEDS = (42, 7)
CLASSES = ("blue ones", "green", "réd")
SIZE = 16


def saved(pixels, kind="PNG", **options) -> bytes:
    content = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(
        content, kind, **options)
    return content.getvalue()


def photo(seed: int, channel: int, height: int = 30, width: int = 40) -> np.ndarray:
    """(height, width, 3) uint8, brighter in one channel."""
    coarse = np.random.default_rng(seed).integers(0, 200, (5, 6, 3), np.uint8)
    coarse[..., channel] += 50
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def awkward(pixels: np.ndarray) -> dict[str, bytes]:
    """{file: its content}: pixels as files that a careless reader takes for others."""
    image, turned = Image.fromarray(pixels), Image.Exif()
    turned[0x0112] = 6
    see_through = image.convert("RGBA")
    see_through.paste((0, 0, 0, 0), (0, 0, 20, 30))
    half = image.convert("RGBA")
    half.putalpha(128)
    deep = (np.asarray(image.convert("L")).astype(np.uint16) << 8) + 77
    inverted = Image.fromarray(255 - np.asarray(image.convert("L")))
    return {
        "turned.jpg": saved(np.ascontiguousarray(np.rot90(pixels)), "JPEG", exif=turned),
        "grey.png": saved(image.convert("L")), "grey.jpg": saved(image.convert("L"), "JPEG"),
        "bilevel.png": saved(image.convert("1")), "palette.gif": saved(image.convert("P"), "GIF"),
        "cmyk.jpg": saved(image.convert("CMYK"), "JPEG"), "deep.png": saved(deep),
        "deep.tif": saved(deep, "TIFF"), "inverted.tif": saved(inverted, "TIFF", tiffinfo={262: 0}),
        "see_through.png": saved(see_through), "half.webp": saved(half, "WEBP", lossless=True),
        "frames.gif": saved(image, "GIF", save_all=True, append_images=[image.rotate(180)]),
        "strip.png": saved(pixels[:3]), "dot.png": saved(pixels[:1, :1]),
        "plain.bmp": saved(image, "BMP")}


def photos(folder: Path) -> Path:
    """A folder of photos in train/ and test/, one class each folder."""
    for split, count in (("train", 12), ("test", 9)):
        for label, name in enumerate(CLASSES):
            for number in range(count):
                pixels = photo(1000 * (split == "test") + 100 * label + number, 2 - label)
                files.write_bytes(folder / split / name / f"{number}.png", saved(pixels))
            for file, content in awkward(photo(7 + label, 2 - label)).items():
                if split == "test":
                    files.write_bytes(folder / split / name / f"as {file}", content)
    return folder


def make(study: Path, images: Path, resize: int | str = 18, **knobs) -> Path:
    """The study, in which the run `base` is trained and recommended. Its model, helpers.TINY, has
    to be among the models.

    Args:
        study: its folder, in which nothing lies. images: of `photos`.
        resize: of the preprocessing. knobs: of the run.
    """
    inputs = Inputs(*(study / place for place in (
        places.DATA, places.WEIGHTS, places.SUBSETS, places.DECODED)))
    facts = facts_of(str(images), skip_broken=False)
    data = inputs.data / facts.name
    card = fetch.fetch(facts.name, facts.source, data, data)
    name = decoded.folder_name(facts.name, SIZE, resize, "bicubic")
    decoding.update(inputs.decoded / name, Decoded(facts.name, SIZE, resize, "bicubic",
                                                   ("train", "test")),
                    card["digest"], lambda: decoding.find(data, facts.source))
    made = decoded.read_card(inputs.decoded / name)
    labels = arrays.load_labels(data)
    chosen = {}
    for seed in SEEDS:
        file = inputs.subsets / f"{seed}.json"
        files.write_text(file, json.dumps(subsets.draw(labels["train"], labels["test"], 0.25, 1.0,
                                                       seed)))
        chosen[seed] = PinnedSubset(file.name, files.file_digest(file))
    settings = {"image_size": SIZE, "batch_size": 4, "epochs": 3, "lr": 0.01, "seeds": list(SEEDS)}
    recipe = replace(
        tiny_recipe(**settings | knobs), seeds=chosen,
        preprocessing=Preprocessing(SIZE, resize, "bicubic", made.mean, made.std),
        dataset=PinnedDataset(facts.name, card["digest"], CLASSES, name, made.digests),
        software=recipes.software())
    return trained(study, recipe, inputs)


def trained(study: Path, recipe: recipes.Recipe, inputs: Inputs) -> Path:
    """The study with a recipe, trained as the stage train does."""
    recipes.write(study / places.RECIPES / "base.yaml", recipe)
    outputs.write(study / places.RUNS / "base", recipe,
                  run.train("base", recipe, devices.pick(), inputs), inputs)
    (study / "params.yaml").write_text("")
    (study / "dvc.yaml").write_text("")
    files.write_csv(study / places.TABLES / "recommendation.csv", ("run", "recommended"),
                    [("base", "yes")])
    return study
