"""What the report says of the datasets, from their cards."""

from unfreeze.data.acquire.cards import leakage
from unfreeze.reporting.document import Code, Items, Picture, Section, Strong


def section(cards: dict[str, dict]) -> Section:
    """What the images are, where they come from, and whether some are in both splits.

    Args:
        cards: {dataset: card.json}, of `data.cards`.
    """
    items = []
    for name, card in cards.items():
        items.append((
            Strong(name), f": {len(card['classes'])} classes, {card['train']:,} training and "
            f"{card['test']:,} test images{_sizes(card['sizes'])}. Split: {card['split']}. From: "
            f"{card['source']}. Licence: {card['licence']}. Digest: ", Code(card["digest"][:12]),
            "."))
        if leak := leakage(card):
            items.append((Strong("Leakage: "), f"{leak}. A model may know them by heart."))
        if skipped := card.get("skipped"):
            items.append((f"{len(skipped)} files that cannot be used were skipped.",))
    if not items:
        return Section("The images")
    return Section("The images", [
        Items(items), Picture("data/gallery.png", "Some images of each class"),
        Picture("data/classes.svg", "Images of each class")])


def _sizes(sizes: dict | None) -> str:
    if sizes is None:
        return ""
    smallest, median, largest = ("{} x {}".format(*sizes[key])
                                 for key in ("smallest", "median", "largest"))
    if smallest == largest:
        return f", all of {smallest} pixels"
    return f" of {smallest} to {largest} pixels (median {median})"
