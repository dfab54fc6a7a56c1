"""Paint the styles and masks of the recipes.

Run `python recipes/images/paint.py [--size 800] [NAME ...]`.

Every picture has fixed seeds, so painting it again writes the same pixels.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from painters import ink, masks, mosaic, planes, swirls, woodblock
from PIL import Image

PAINTERS: dict[str, Callable[[int], Image.Image]] = {
    "swirls": swirls.paint,
    "woodblock": woodblock.paint,
    "mosaic": mosaic.paint,
    "planes": planes.paint,
    "ink": ink.paint,
    "cup": masks.cup,
    "head": masks.head,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Paint style images, saved as PNG.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PAINTERS)}")
    parser.add_argument("--size", type=int, default=800, help="pixels on the longest side")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to save in")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(PAINTERS)
    if unknown:
        parser.error(f"no painter of {', '.join(sorted(unknown))}; known: {', '.join(PAINTERS)}")
    for name in arguments.names or PAINTERS:
        path = arguments.out / f"{name}.png"
        PAINTERS[name](arguments.size).save(path, optimize=True)
        print(path)


if __name__ == "__main__":
    main()
