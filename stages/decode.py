"""plan/maps.yaml, data/ -> arrays/KEY/: the photos at the size that the models see. What is there
stays; what no run needs any more goes, and is kept in DVC's cache."""

import shutil
from pathlib import Path

import _source  # noqa: F401
from unfreeze import environment, files, places
from unfreeze.data import own, photos
from unfreeze.data.acquire import layout
from unfreeze.data.catalogue import dataset
from unfreeze.data.reading import arrays, maps
from unfreeze.errors import UserError
from unfreeze.stage import run_stage

DATA, MAPS = places.DATA, places.DECODED


def main() -> None:
    wanted = files.read_yaml(places.PLAN / "maps.yaml")
    entries = files.read_yaml(places.PLAN / "datasets.yaml")
    MAPS.mkdir(exist_ok=True)
    for folder in MAPS.iterdir():
        if folder.is_dir() and folder.name not in wanted:
            shutil.rmtree(folder)
    # So that the folder is not empty, which DVC warns of, where no run reads photos.
    files.write_json(MAPS / "maps.json", list(wanted))
    for key, settings in wanted.items():
        name = settings["dataset"]
        make(MAPS / key, settings, arrays.read_card(DATA / name)["digest"],
             lambda name=name: find(name, entries[name]))


def make(folder: Path, settings: dict, digest: str, find) -> None:
    """Decode the splits that are wanted and not there."""
    kept = there(folder, digest)
    wanted = {split: kept[split] for split in settings["splits"] if split in kept}
    missing = [split for split in settings["splits"] if split not in kept]
    if not missing and set(kept) == set(wanted):
        print(f"{folder.name}: already there, digest checked")
        return
    (folder / "map.json").unlink(missing_ok=True)
    for split in set(maps.SPLITS) - set(wanted):
        maps.file(folder, split).unlink(missing_ok=True)
    found = find() if missing else {}
    for split in missing:
        place, members = found[split]
        out = maps.file(folder, split)
        photos.ingest(place, members, settings["size"], settings["resize"],
                      settings["interpolation"], out, environment.workers())
        wanted[split] = files.file_digest(out)
    if missing:
        counts = ", ".join(f"{len(found[split][1])} {split}" for split in missing)
        print(f"{folder.name}: {counts} images decoded")
    mean, std = (photos.statistics(maps.file(folder, "train")) if "train" in wanted
                 else (None, None))
    files.write_json(folder / "map.json", {
        **settings, "dataset_digest": digest, "mean": mean, "std": std,
        "digests": {split: wanted[split] for split in settings["splits"]}})


def there(folder: Path, digest: str) -> dict[str, str]:
    """{split: digest} of what is decoded already and is what it should be."""
    try:
        card = maps.read_card(folder)
    except UserError:
        return {}
    if card["dataset_digest"] != digest:
        return {}
    return {split: expected for split, expected in card["digests"].items()
            if maps.file(folder, split).is_file()
            and files.file_digest(maps.file(folder, split)) == expected}


def find(name: str, entry: dict) -> dict[str, tuple[Path, list[photos.Photo]]]:
    """{split: (folder or archive, its photos in the order of the labels)}."""
    folder = DATA / name
    if "place" in entry or "url" in entry:
        place = own.place(entry, folder)
        found, _, digest = own.settled(place, entry["skip_broken"])
        if digest != arrays.read_card(folder)["digest"]:
            raise own.changed(place)
        return {split: (place, [photo for photo in found.photos if photo.split == split])
                for split in maps.SPLITS}
    places = layout.places(dataset(name), folder)
    found = {}
    rows = files.read_csv(folder / "index.csv")
    for split in maps.SPLITS:
        own_rows = [row for row in rows if row["split"] == split]
        (archive,) = {row["archive"] for row in own_rows}
        found[split] = (places[archive], [
            photos.Photo(split, int(row["label"]), row["member"], row["sha256"])
            for row in own_rows])
    return found


if __name__ == "__main__":
    run_stage(main)
