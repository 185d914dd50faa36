"""What of a batch is being computed."""

from dataclasses import dataclass, field


@dataclass
class Share:
    """The part of a batch that is being computed at the moment; layers that look beyond one image
    hold the share of their model, and ask it.

    Attributes:
        images: of the whole batch; 0 while none is computed.
        rows: which of them are in the micro-batch.
        copies: how many processes compute the same rows.
    """

    images: int = 0
    rows: slice = field(default_factory=lambda: slice(0, 0))
    copies: int = 1
