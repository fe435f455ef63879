"""Where other projects explain their names, from lists in this repository: a build needs no network."""

import zlib
from pathlib import Path


def read_inventories(folder: Path, place: Path) -> dict[str, tuple[str, str]]:
    """Turn each list (its address first, then one name a line) into an inventory of Sphinx."""
    place.mkdir(exist_ok=True)
    mapping = {}
    for source in sorted(folder.glob("*.txt")):
        address, *names = source.read_text().splitlines()
        head = f"# Sphinx inventory version 2\n# Project: {source.stem}\n# Version: \n"
        head += "# The remainder of this file is compressed using zlib.\n"
        target = place / f"{source.stem}.inv"
        target.write_bytes(head.encode() + zlib.compress("\n".join([*names, ""]).encode()))
        mapping[source.stem] = (address, str(target))
    return mapping
