"""The demo's raw folder: a small VGGFace2 with planted faults, made from two public-domain portraits.

Sources, both in the public domain (NASA; U.S. Navy): Eileen Collins, from scikit-image ("astronaut"), and
Grace Hopper, from matplotlib's sample data. Each photo of the folder is one of them with a seeded random
change of crop, rotation, light, blur and JPEG quality.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from manifests.errors import UsageError
from manifests.files import write_atomic

PHOTOS_EACH = 16
PERSONS = {"n000001": "astronaut", "n000002": "hopper"}
FACES = {"astronaut": (225, 115, 105), "hopper": (268, 230, 150)}
"""Centre x, centre y and width of the face in each portrait, pixels."""

FAULTS_FILE = "planted.json"


def make_photos(root: Path, seed: int = 0) -> dict[str, str]:
    """Writes the raw folder ``root``/train/nXXXXXX/MMMM_01.jpg; the same seed gives the same bytes.

    Returns:
        The planted faults by relative path, also written to ``root``/planted.json.

    Raises:
        UsageError: ``root`` holds something else.
    """
    if root.exists() and any(root.iterdir()) and not (root / FAULTS_FILE).exists():
        raise UsageError(f"{root}: the folder holds other files; name an empty one for the demo's photos.")
    found = portraits()
    rng = np.random.default_rng(seed)
    for person, portrait in PERSONS.items():
        for number in range(1, PHOTOS_EACH + 1):
            photo = _vary(found[portrait], FACES[portrait], rng)
            write_atomic(
                root / f"train/{person}/{number:04d}_01.jpg", _jpeg(photo, int(rng.integers(60, 96)))
            )
    faults = _plant(root, found, rng)
    write_atomic(root / FAULTS_FILE, json.dumps(faults, indent=1).encode())
    return faults


def save_portraits(folder: Path) -> None:
    """Writes the two portraits unchanged, as ``folder``/NAME.png."""
    for name, portrait in portraits().items():
        write_atomic(folder / f"{name}.png", _png(portrait))


def portraits() -> dict[str, np.ndarray]:
    """Returns the two portraits by name, (H, W, 3) uint8 RGB.

    Raises:
        ImportError: scikit-image or matplotlib (the extra `demo`) is not installed.
    """
    from matplotlib import cbook
    from skimage import data

    hopper = Image.open(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    return {"astronaut": np.asarray(data.astronaut()), "hopper": np.asarray(hopper.convert("RGB"))}


def _plant(root: Path, portraits: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, str]:
    """Adds the five faults and returns them by relative path."""
    first = root / "train/n000001"
    whole = _jpeg(_vary(portraits["astronaut"], FACES["astronaut"], rng), 90)
    write_atomic(first / "0101_01.jpg", whole[: len(whole) * 2 // 5])
    write_atomic(first / "0102_01.jpg", _jpeg(portraits["astronaut"][250:500, 230:480], 90))
    turned = _vary(portraits["astronaut"], FACES["astronaut"], rng)
    write_atomic(first / "0103_01.jpg", _turned_jpeg(turned))
    wrong = _vary(portraits["hopper"], FACES["hopper"], rng)
    write_atomic(first / "0104_01.jpg", _jpeg(wrong, 90))
    write_atomic(root / "train/n000002/0101_01.jpg", (root / "train/n000002/0003_01.jpg").read_bytes())
    return {
        "train/n000001/0101_01.jpg": "truncated file",
        "train/n000001/0102_01.jpg": "no face",
        "train/n000001/0103_01.jpg": "EXIF-rotated (to be read upright)",
        "train/n000001/0104_01.jpg": "another person under this identity",
        "train/n000002/0101_01.jpg": "exact duplicate of 0003_01.jpg",
    }


def _vary(portrait: np.ndarray, face: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Cuts loosely around the face, as in VGGFace2, with random rotation, light, sharpness and size."""
    x, y, width = face
    side = width * rng.uniform(1.6, 2.5)
    size = int(rng.integers(224, 400))
    matrix = cv2.getRotationMatrix2D((x, y), float(rng.uniform(-24, 24)), size / side)
    matrix[:, 2] += size / 2 - np.array([x, y]) + rng.uniform(-0.06, 0.06, 2) * size
    photo = cv2.warpAffine(
        portrait, matrix, (size, size), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101
    )
    if rng.random() < 0.5:
        photo = np.ascontiguousarray(photo[:, ::-1])
    blur = rng.uniform(0, 1.2)
    if blur > 0.4:
        photo = cv2.GaussianBlur(photo, (0, 0), blur)
    return _relight(photo, rng)


def _relight(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Applies gain, gamma, a colour cast and light that is weaker on one side."""
    size = photo.shape[0]
    linear = (photo / 255.0) ** rng.uniform(0.75, 1.35) * rng.uniform(0.75, 1.15)
    angle = rng.uniform(0, 2 * np.pi)
    across = np.linspace(-1, 1, size)
    slope = 1 + rng.uniform(0, 0.35) * (across[None] * np.cos(angle) + across[:, None] * np.sin(angle))
    lit = linear * slope[..., None] * (1 + rng.uniform(-0.06, 0.06, 3))
    return np.clip(lit * 255 + rng.normal(0, 2, photo.shape), 0, 255).astype(np.uint8)


def _jpeg(photo: np.ndarray, quality: int) -> bytes:
    _, data = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def _png(photo: np.ndarray) -> bytes:
    _, data = cv2.imencode(".png", photo[..., ::-1])
    return data.tobytes()


def _turned_jpeg(photo: np.ndarray) -> bytes:
    """Stores the photo rotated by 90 degrees, with the EXIF orientation that corrects it (6)."""
    image = Image.fromarray(np.rot90(photo, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "vggface2")
    planted = make_photos(folder)
    print(f"{folder}: {len(list(folder.rglob('*.jpg')))} photos of two persons, {len(planted)} with a fault")
