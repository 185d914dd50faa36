"""What the licence of pretrained weights means for a model that starts from them."""

import re

# By the names that the Hugging Face hub has for them.
_OPEN = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0")
# Beside those with NC or "noncommercial" in their name.
_NON_COMMERCIAL = ("apple-amlr", "seer-license")


def forbids_commerce(licence: str) -> bool:
    """Whether weights under a licence, and what is made of them, may not be used commercially."""
    return licence in _NON_COMMERCIAL or bool(
        re.search(r"(^|-)nc(-|$)|non-?commercial", licence.lower()))


def worded(licence: str) -> str:
    """`apache-2.0`, or with what it asks for."""
    if not licence or licence == "unknown":
        return "no licence that its publisher states"
    if forbids_commerce(licence):
        return f"{licence}, which forbids commercial use"
    return licence if licence in _OPEN else f"{licence}, which has terms of its own"
