"""What the images are, where they come from, and whether some are in both splits."""

from unfreeze import places
from unfreeze.data.acquire.cards import contradiction, leakage, repetition
from unfreeze.reporting.document import Code, Items, Picture, Section, Strong, line
from unfreeze.reporting.study import Study
from unfreeze.words import count


def section(study: Study) -> Section:
    items = []
    for name, card in study.cards.items():
        items.append((
            Strong(study.plan.title(name)),
            f": {count(len(card['classes']), 'class', 'classes')}, "
            f"{count(card['train'], 'training image')} and {count(card['test'], 'test image')}"
            f"{_sizes(card['sizes'])}. Split: {card['split']}. From: {card['source']}. "
            f"Licence: {card['licence']}. Digest: ", Code(card["digest"][:12]), "."))
        if leak := leakage(card):
            items.append((Strong("Leakage"), f": {leak}. A model may know them by heart."))
        for copies in (contradiction(card), repetition(card)):
            if copies:
                items.append((f"{copies}.",))
        if skipped := card.get("skipped"):
            files = count(len(skipped), "file")
            items.append((f"{files} that cannot be used {'was' if len(skipped) == 1 else 'were'} "
                          "skipped.",))
    if not items:
        return Section("The images")
    private = [name for name in study.plan.datasets if study.plan.is_private(name)]
    kept = [line("Photos of your own are shown in ", Code(str(places.PAGE)), " alone, which git "
                 "does not track; with ", Code("share_photos: true"), " they are in what it "
                 "tracks, too.")]
    return Section("The images", [
        Items(items),
        *(Picture(str(place / "gallery.png"), "Some images of each class")
          for place, shown in ((places.DATA_PICTURES, len(private) < len(study.cards)),
                               (places.GALLERY, bool(private))) if shown),
        *(kept if private else []),
        Picture(str(places.DATA_PICTURES / "classes.svg"), "Images of each class")])


def _sizes(sizes: dict | None) -> str:
    if sizes is None:
        return ""
    smallest, median, largest = ("{} x {}".format(*sizes[key])
                                 for key in ("smallest", "median", "largest"))
    if smallest == largest:
        return f", all of {smallest} pixels"
    return f" of {smallest} to {largest} pixels (median {median})"
