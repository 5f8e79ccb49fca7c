"""One photo as a file of every kind that a dataset folder holds."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import skimage.data
from PIL import ExifTags, Image

PHOTO = cv2.GaussianBlur(skimage.data.astronaut()[8:248, 120:328], (0, 0), 4)
"""(240, 208, 3) uint8 RGB: smooth, so that resampling changes it little; 8 divides its sides."""

SQUARE = PHOTO[:208]
"""Turned, it has the same width and height."""


class PhotoFile(NamedTuple):
    """A file.

    Attributes:
        name: with the ending.
        data: its bytes.
        upright: (H, W, 3) uint8 RGB that it should show.
        bound: the largest difference that its compression may cause, grey levels.
        reduced: the mean difference that resampling may cause: more where there are hard edges.
    """

    name: str
    data: bytes
    upright: np.ndarray
    bound: int = 0
    reduced: float = 3.0


def photo_files() -> list[PhotoFile]:
    """All of them."""
    return [
        *_turned(),
        *_jpegs(),
        *_grey_and_palette(),
        *_sixteen_bits(),
        *_transparent(),
        *_animated(),
        *_others(),
    ]


def saved(image: Image.Image | np.ndarray, kind: str, turn: int = 1, **options: Any) -> bytes:
    """A file by Pillow; ``turn`` is its EXIF orientation."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    if turn != 1:
        options["exif"] = Image.Exif()
        options["exif"][ExifTags.Base.Orientation] = turn
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def lying(upright: np.ndarray, turn: int) -> np.ndarray:
    """The pixels that a file holds whose EXIF orientation ``turn`` makes ``upright`` of them."""
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[turn]


def _turned() -> Iterator[PhotoFile]:
    for turn in range(1, 9):
        for name, upright in (("tall", PHOTO), ("square", SQUARE)):
            data = saved(lying(upright, turn), "JPEG", turn, quality=95)
            yield PhotoFile(f"{name}-{turn}.jpg", data, upright, 8)
    for kind, ending, bound in (("PNG", "png", 0), ("TIFF", "tif", 0), ("WEBP", "webp", 12)):
        options = {"quality": 95} if kind == "WEBP" else {}
        data = saved(lying(SQUARE, 6), kind, 6, **options)
        yield PhotoFile(f"square-6.{ending}", data, SQUARE, bound)


def _jpegs() -> Iterator[PhotoFile]:
    photo = Image.fromarray(PHOTO)
    yield PhotoFile("progressive.jpg", saved(photo, "JPEG", quality=95, progressive=True), PHOTO, 8)
    yield PhotoFile("cmyk.jpg", saved(photo.convert("CMYK"), "JPEG", quality=95), PHOTO, 8)
    yield PhotoFile("grey.jpg", saved(photo.convert("L"), "JPEG", quality=95), _grey(), 4)
    others = {"save_all": True, "append_images": [Image.fromarray(PHOTO[::-1])]}
    yield PhotoFile("two-pictures.jpg", saved(photo, "MPO", quality=95, **others), PHOTO, 8)
    yield PhotoFile("a-jpeg-by-content.png", saved(photo, "JPEG", quality=95), PHOTO, 8)


def _grey_and_palette() -> Iterator[PhotoFile]:
    photo = Image.fromarray(PHOTO)
    palette, dots = photo.quantize(64), photo.convert("1", dither=Image.Dither.NONE)
    yield PhotoFile("plain.png", saved(photo, "PNG"), PHOTO)
    yield PhotoFile("interlaced.png", interlaced_png(PHOTO), PHOTO)
    yield PhotoFile("grey.png", saved(photo.convert("L"), "PNG"), _grey())
    yield PhotoFile("palette.png", saved(palette, "PNG"), _rgb(palette))
    yield PhotoFile("one-bit.png", saved(dots, "PNG"), _rgb(dots), reduced=12)
    yield PhotoFile("plain.bmp", saved(photo, "BMP"), PHOTO)
    yield PhotoFile("palette.bmp", saved(palette, "BMP"), _rgb(palette))
    yield PhotoFile("lossless.webp", saved(photo, "WEBP", lossless=True), PHOTO)
    yield PhotoFile("lossy.webp", saved(photo, "WEBP", quality=95), PHOTO, 12)


def _sixteen_bits() -> Iterator[PhotoFile]:
    deep = PHOTO.astype(np.uint16) * 256 + 200
    for ending in ("png", "tif"):
        data = cv2.imencode(f".{ending}", deep[..., ::-1])[1].tobytes()
        yield PhotoFile(f"rgb-16.{ending}", data, PHOTO, 1 if ending == "tif" else 0)  # libtiff rounds
        data = cv2.imencode(f".{ending}", deep[..., 1])[1].tobytes()
        yield PhotoFile(f"grey-16.{ending}", data, np.repeat(PHOTO[..., 1:2], 3, axis=2))
    value = int(deep[100, 100, 1])
    shown = np.where(deep[..., 1:2] == value, 255, PHOTO[..., 1:2]).repeat(3, axis=2)
    data = saved(Image.fromarray(deep[..., 1]), "PNG", transparency=value)
    yield PhotoFile("grey-16-transparent.png", data, shown)


def _transparent() -> Iterator[PhotoFile]:
    alpha = np.linspace(0, 255, PHOTO.shape[0]).astype(np.uint8)[:, None].repeat(PHOTO.shape[1], axis=1)
    share = alpha[..., None] / 255
    over_white = np.round(PHOTO * share + 255 * (1 - share)).astype(np.uint8)
    grey_over_white = np.round(_grey() * share + 255 * (1 - share)).astype(np.uint8)
    photo, layer = Image.fromarray(PHOTO), Image.fromarray(alpha)
    rgba = np.dstack([PHOTO, alpha])
    yield PhotoFile("rgba.png", saved(rgba, "PNG"), over_white, 1)
    yield PhotoFile("rgba.webp", saved(rgba, "WEBP", lossless=True, exact=True), over_white, 1)
    yield PhotoFile("rgba.tif", saved(rgba, "TIFF"), over_white, 1)
    grey = Image.merge("LA", [photo.convert("L"), layer])
    yield PhotoFile("grey-alpha.png", saved(grey, "PNG"), grey_over_white, 1)
    palette = photo.quantize(64)
    index = palette.getpixel((100, 100))
    holes = np.where(np.asarray(palette)[..., None] == index, 255, _rgb(palette)).astype(np.uint8)
    yield PhotoFile("palette-transparent.png", saved(palette, "PNG", transparency=index), holes, reduced=7)
    color = PHOTO[100, 100].tolist()
    holes = np.where((color == PHOTO).all(axis=2)[..., None], 255, PHOTO).astype(np.uint8)
    yield PhotoFile("color-transparent.png", saved(photo, "PNG", transparency=tuple(color)), holes)


def _animated() -> Iterator[PhotoFile]:
    first, others = Image.fromarray(PHOTO), [Image.fromarray(PHOTO[::-1]), Image.fromarray(PHOTO[:, ::-1])]
    more = {"save_all": True, "append_images": others, "duration": 100}
    yield PhotoFile("animated.png", saved(first, "PNG", **more), PHOTO)
    yield PhotoFile("animated.webp", saved(first, "WEBP", lossless=True, **more), PHOTO)
    frames = [frame.quantize(64) for frame in (first, *others)]
    more["append_images"] = frames[1:]
    yield PhotoFile("animated.gif", saved(frames[0], "GIF", **more), _rgb(frames[0]))


def _others() -> Iterator[PhotoFile]:
    """Formats of phones, the web and scientific data sets."""
    photo = Image.fromarray(PHOTO)
    deep = PHOTO.astype(np.uint16) * 256 + 200
    yield PhotoFile("plain.avif", saved(photo, "AVIF", quality=95), PHOTO, 12)
    yield PhotoFile("turned.avif", saved(lying(SQUARE, 6), "AVIF", 6, quality=95), SQUARE, 12)
    yield PhotoFile("plain.jfif", saved(photo, "JPEG", quality=95), PHOTO, 8)
    yield PhotoFile("plain.jp2", saved(photo, "JPEG2000"), PHOTO)
    yield PhotoFile("grey.jp2", saved(photo.convert("L"), "JPEG2000"), _grey())
    yield PhotoFile("stream.j2k", saved(photo, "JPEG2000", no_jp2=True), PHOTO)
    yield PhotoFile("plain.ppm", saved(photo, "PPM"), PHOTO)
    yield PhotoFile("grey.pgm", saved(photo.convert("L"), "PPM"), _grey())
    grey = b"P5 %d %d 65535\n" % (PHOTO.shape[1], PHOTO.shape[0]) + deep[..., 1].astype(">u2").tobytes()
    yield PhotoFile("grey-16.pgm", grey, np.repeat(PHOTO[..., 1:2], 3, axis=2))
    palette = photo.quantize(64)
    index = palette.getpixel((100, 100))
    holes = np.where(np.asarray(palette)[..., None] == index, 255, _rgb(palette)).astype(np.uint8)
    yield PhotoFile("palette-transparent.gif", saved(palette, "GIF", transparency=index), holes, reduced=7)


def _grey() -> np.ndarray:
    return _rgb(Image.fromarray(PHOTO).convert("L"))


def _rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def interlaced_png(image: np.ndarray) -> bytes:
    """An RGB PNG whose pixels come in Adam7's seven passes, which Pillow does not write."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    passes += [(1, 0, 2, 1)]
    rows = [b"\0" + row.tobytes() for y, x, down, right in passes for row in image[y::down, x::right]]
    head = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    packed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
