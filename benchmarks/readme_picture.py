"""The picture at the top of the README: what `deca fit` writes for the demo's two portraits.

    deca fit demo/portraits --out FOLDER
    python -m benchmarks.readme_picture FOLDER

FOLDER holds `astronaut.png` and `hopper.png`, each a row of square pictures. The rows are put below each
other, made 1,500 pixels wide, and written to docs/reconstruction.jpg. Nothing else is changed.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image

from manifests.errors import UsageError
from manifests.files import write_atomic

NAMES = ("astronaut", "hopper")
WIDTH = 1500  # pixels
QUALITY = 88
OUT = Path("docs/reconstruction.jpg")


def main() -> None:
    """Writes the picture and prints its size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="what `deca fit` wrote for the two portraits")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    try:
        picture = combine([options.folder / f"{name}.png" for name in NAMES])
    except UsageError as error:
        parser.error(str(error))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=QUALITY, optimize=True)
    write_atomic(options.out, data.getvalue())
    print(f"{options.out}: {picture.width} x {picture.height} pixels, {len(data.getvalue()) // 1000} kB")


def combine(paths: list[Path]) -> Image.Image:
    """The pictures below each other, each ``WIDTH`` pixels wide.

    Raises:
        UsageError: a file is missing.
    """
    rows = []
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path}: no such file; call `deca fit` on the demo's portraits first.")
        with Image.open(path) as opened:
            height = round(opened.height * WIDTH / opened.width)
            rows.append(opened.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS))
    whole = Image.new("RGB", (WIDTH, sum(row.height for row in rows)))
    top = 0
    for row in rows:
        whole.paste(row, (0, top))
        top += row.height
    return whole


if __name__ == "__main__":
    main()
