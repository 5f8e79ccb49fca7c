"""Decoding: every kind of file that a dataset folder holds, whole and broken."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image, features

from manifests.images.decode import Unreadable, decode_bytes, decode_file


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return skimage.data.astronaut()[:300]  # not square, so that a wrong turn shows


def _saved(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(float) - b).mean())


_TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(photo, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind in ("jpeg", "webp") else {}
    decoded = decode_bytes(_saved(photo, kind, exif=exif, **options))
    want = _TURNS[orientation](photo)
    assert _difference(decoded.image, want) < 4
    assert (decoded.height, decoded.width) == want.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shrunk", [2, 4, 8])
def test_a_reduced_jpeg_is_the_same_picture_and_knows_its_own_size(photo, orientation, shrunk):
    exif = Image.Exif()
    exif[0x0112] = orientation
    odd = orientation == 1  # a turned photo is reduced by what divides its sides
    data = _saved(photo[:299, :509] if odd else photo[:296, :504], "jpeg", exif=exif, quality=95)
    whole = decode_bytes(data)
    asked = []
    decoded = decode_bytes(data, shrink=lambda width, height: asked.append((width, height)) or shrunk)
    assert sorted(asked[0]) == ([299, 509] if odd else [296, 504])
    assert (decoded.width, decoded.height) == (whole.width, whole.height)
    assert (decoded.shrunk, whole.shrunk) == (shrunk, 1)
    height, width = decoded.image.shape[:2]
    assert (width, height) == (-(-whole.width // shrunk), -(-whole.height // shrunk))
    inner = whole.image[: whole.height // shrunk * shrunk, : whole.width // shrunk * shrunk]
    small = cv2.resize(inner, None, fx=1 / shrunk, fy=1 / shrunk, interpolation=cv2.INTER_AREA)
    assert _difference(decoded.image[: small.shape[0], : small.shape[1]], small) < 1.5


def test_a_turned_photo_is_reduced_by_what_divides_its_sides(photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    for rows, columns, shrunk in ((296, 504, 8), (292, 504, 4), (298, 502, 2), (299, 504, 1), (296, 501, 1)):
        data = _saved(photo[:rows, :columns], "jpeg", exif=exif)
        decoded = decode_bytes(data, shrink=lambda width, height: 8)
        assert (decoded.shrunk, decoded.width, decoded.height) == (shrunk, rows, columns)


def test_where_the_libraries_disagree_on_the_turn_nothing_is_reduced(photo, monkeypatch):
    data = _saved(photo, "jpeg")
    monkeypatch.setattr(Image.Image, "getexif", lambda image: {0x0112: 6})
    decoded = decode_bytes(data, shrink=lambda width, height: 4)
    assert (decoded.shrunk, decoded.image.shape) == (1, photo.shape)
    assert (decoded.height, decoded.width) == photo.shape[:2]


def test_exif_that_cannot_be_read_only_costs_the_reduction(photo, monkeypatch):
    def raise_what_it_likes(image: Image.Image) -> None:
        raise ZeroDivisionError

    data = _saved(photo, "jpeg")
    assert decode_bytes(data, shrink=lambda width, height: 4).shrunk == 4
    monkeypatch.setattr(Image.Image, "getexif", raise_what_it_likes)
    decoded = decode_bytes(data, shrink=lambda width, height: 4)
    assert (decoded.shrunk, decoded.image.shape) == (1, photo.shape)


def test_only_jpegs_are_reduced_and_damage_is_seen_in_them_too(photo):
    for kind in ("png", "bmp", "tiff", "webp"):
        decoded = decode_bytes(_saved(photo, kind), shrink=lambda width, height: 4)
        assert (decoded.shrunk, decoded.image.shape) == (1, photo.shape)
    cmyk = _saved(Image.fromarray(photo).convert("CMYK"), "jpeg", quality=95)
    small = cv2.resize(photo, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    assert _difference(decode_bytes(cmyk, shrink=lambda width, height: 4).image, small) < 5
    data = _saved(photo, "jpeg")
    for part in (data[: len(data) // 2], data[: len(data) // 2] + bytes(len(data) // 2)):
        with pytest.raises(Unreadable, match="truncated"):
            decode_bytes(part, shrink=lambda width, height: 2)


def test_lossless_kinds_come_back_exactly(photo):
    for kind in ("png", "bmp", "tiff"):
        assert np.array_equal(decode_bytes(_saved(photo, kind)).image, photo)


def test_palette_grey_sixteen_bit_and_cmyk(photo):
    palette = Image.fromarray(photo).quantize(256)
    assert np.array_equal(decode_bytes(_saved(palette, "png")).image, np.asarray(palette.convert("RGB")))
    grey = decode_bytes(_saved(Image.fromarray(photo).convert("L"), "png")).image
    assert grey.shape == photo.shape
    assert np.array_equal(grey[..., 0], grey[..., 2])
    deep = photo.astype(np.uint16) * 257
    for image in (deep[..., ::-1], deep[..., 0]):
        for ending in (".png", ".tiff"):
            got = decode_bytes(cv2.imencode(ending, image)[1].tobytes()).image
            want = photo if image.ndim == 3 else np.repeat(photo[..., :1], 3, axis=2)
            assert np.array_equal(got, want)
    cmyk = _saved(Image.fromarray(photo).convert("CMYK"), "jpeg", quality=95)
    assert _difference(decode_bytes(cmyk).image, photo) < 5


def test_transparent_pixels_become_white(photo):
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    alpha[:100] = 0
    image = decode_bytes(_saved(np.dstack([photo, alpha]), "png")).image
    assert (image[:100] == 255).all()
    assert np.array_equal(image[100:], photo[100:])
    palette = Image.fromarray(photo).quantize(256)
    index = palette.getpixel((0, 0))
    image = decode_bytes(_saved(palette, "png", transparency=index)).image
    assert (image[0, 0] == 255).all()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "bmp", "tiff"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.98])
def test_truncated_files_are_unreadable(photo, kind, part):
    data = _saved(photo, kind)
    with pytest.raises(Unreadable):
        decode_bytes(data[: int(len(data) * part)])


def test_a_jpeg_that_ends_in_zeros_is_unreadable(photo):
    data = _saved(photo, "jpeg")
    half = len(data) // 2
    with pytest.raises(Unreadable, match="truncated"):
        decode_bytes(data[:half] + bytes(half))


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(photo):
    data = _saved(photo, "jpeg")
    assert np.array_equal(decode_bytes(data + b"appended by a camera").image, decode_bytes(data).image)


@pytest.mark.parametrize("checked", [True, False])
def test_an_animation_whose_frame_lies_beyond_the_image_is_unreadable(photo, checked):
    data = bytearray(_saved(photo, "png", save_all=True, append_images=[Image.fromarray(photo[::-1])]))
    place = data.index(b"fcTL")
    data[place + 16] ^= 0x7F  # the frame's offset to the right: this crashes OpenCV
    if checked:
        data[place + 30 : place + 34] = struct.pack(">I", zlib.crc32(data[place : place + 30]))
    with pytest.raises(Unreadable):
        decode_bytes(bytes(data))


@pytest.mark.skipif(not features.check("avif"), reason="needs a Pillow that reads AVIF")
def test_any_exception_of_a_reader_is_unreadable(photo):
    data = bytearray(_saved(photo, "avif"))
    start = data.index(b"mdat") + 4
    data[start : start + 8] = b"\xff" * 8  # Pillow raises a RuntimeError
    with pytest.raises(Unreadable, match="truncated or damaged"):
        decode_bytes(bytes(data))


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_unreadable(data):
    with pytest.raises(Unreadable):
        decode_bytes(data)


def test_size_bounds_hold_before_the_pixels_are_unpacked():
    bomb = _saved(Image.new("1", (15_000, 15_000)), "png")
    assert len(bomb) < 200_000
    with pytest.raises(Unreadable, match="too large"):
        decode_bytes(bomb)
    with pytest.raises(Unreadable, match="too small"):
        decode_bytes(_saved(Image.new("RGB", (200, 8)), "png"))


def test_files_and_their_hashes(tmp_path, photo):
    with pytest.raises(Unreadable, match="No such file"):
        decode_file(tmp_path / "absent.jpg")
    data = _saved(photo, "jpeg")
    (tmp_path / "a b ü.JPG").write_bytes(data)
    decoded = decode_file(tmp_path / "a b ü.JPG", hashed=True)
    assert np.array_equal(decoded.image, decode_bytes(data).image)
    assert decoded.content_hash == hashlib.blake2b(data, digest_size=16).hexdigest()
    assert decode_file(tmp_path / "a b ü.JPG").content_hash is None  # it takes time


def test_the_shared_palette_png(faces):
    assert decode_file(faces / "hard" / "32bit.png").image.shape[2] == 3
