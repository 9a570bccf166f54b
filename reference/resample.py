"""Writes fixtures/resample.json: pictures resized by Pillow, which packages/core/src/data/resample.ts must match.

Inputs are made by formula, so the file holds outputs only: pixel (x, y, c) of an input of width w is
(x * x * 7 + y * 13 + x * y * 3 + c * 85 + (x * 37 ^ y * 91) % 61) % 256; steps and noise reach every rounding.
Run: python reference/resample.py (needs Pillow; written with 12.3.0)
"""

import base64
import json
import pathlib

import PIL
from PIL import Image

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# input size, output size, box (left, top, right, bottom) or None
CASES = [
    ((37, 23), (16, 12), None),  # reduced
    ((11, 9), (20, 25), None),  # enlarged
    ((40, 6), (13, 17), None),  # reduced across, enlarged down
    ((24, 24), (24, 10), None),  # one axis unchanged
    ((50, 41), (15, 14), (7, 5, 43, 36)),
    ((50, 41), (9, 11), (3.25, 6.5, 40.75, 30.125)),
    ((1, 1), (5, 4), None),
    ((150, 3), (2, 2), None),
]


def picture(width: int, height: int) -> Image.Image:
    levels = bytes(
        (x * x * 7 + y * 13 + x * y * 3 + c * 85 + (x * 37 ^ y * 91) % 61) % 256
        for y in range(height)
        for x in range(width)
        for c in range(3)
    )
    return Image.frombytes("RGB", (width, height), levels)


def main() -> None:
    cases = []
    for source, target, box in CASES:
        for name, resampling in FILTERS.items():
            output = picture(*source).resize(target, resampling, box=box)
            cases.append(
                {
                    "filter": name,
                    "source": source,
                    "target": target,
                    "box": box,
                    "rgb": base64.b64encode(output.tobytes()).decode(),
                }
            )
    text = json.dumps({"pillow": PIL.__version__, "cases": cases}, indent=0)
    (pathlib.Path(__file__).parent / "fixtures" / "resample.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
