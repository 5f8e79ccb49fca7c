"""Damaged and hostile pictures: each costs its own row, with a reason and a quiet terminal."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manifests.images import pillow_formats
from manifests.images.decode import Unreadable, decode_bytes, decode_file, decode_jpeg
from tests.manifests.images.photo_files import PHOTO, saved

KINDS = {
    "plain": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 4},
}


def reason(data: bytes) -> str | None:
    """Why the file is not read; None if it is."""
    try:
        decode_bytes(data)
    except Unreadable as error:
        return str(error)
    return None


def scan_of(data: bytes) -> int:
    """Where the pixels of the first scan begin."""
    return data.index(b"\xff\xda") + 14


def textured() -> np.ndarray:
    noise = np.random.default_rng(0).integers(-30, 30, PHOTO.shape)
    return (PHOTO + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_lacks_only_its_end_mark_is_whole(kind: str):
    data = saved(PHOTO, "JPEG", quality=90, **KINDS[kind])
    image = decode_bytes(data).image
    for cut in (1, 2):
        assert np.array_equal(decode_bytes(data[:-cut]).image, image)
    assert decode_bytes(data[:-2], shrink=lambda width, height: 2).shrunk == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_is_cut_anywhere_else_is_not(kind: str):
    data = saved(PHOTO[:64, :64], "JPEG", quality=75, **KINDS[kind])
    read = [cut for cut in range(1, len(data)) if reason(data[:-cut]) is None]
    assert read == [1, 2]
    zeros = [cut for cut in range(3, len(data), 3) if reason(data[:-cut] + bytes(cut)) is None]
    assert zeros == []


def test_a_video_behind_a_photo_does_no_harm():
    data = saved(PHOTO, "JPEG", quality=90)
    behind = b"\0\0\0\x18ftypmp42" + b"\xff\xda\xff\xd8" + random.Random(0).randbytes(4000)
    assert np.array_equal(decode_bytes(data + behind).image, decode_bytes(data).image)


@pytest.mark.parametrize("shrunk", [1, 4])
def test_holes_in_a_jpeg_are_damage(shrunk: int):
    data, rng = saved(textured(), "JPEG", quality=90), random.Random(1)
    for size in (300, 2000):
        for _ in range(10):
            place = rng.randrange(scan_of(data), len(data) - 2 - size)
            for filling in (bytes(size), rng.randbytes(size)):
                holed = data[:place] + filling + data[place + size :]
                with pytest.raises(Unreadable, match=r"damaged inside|truncated"):
                    decode_bytes(holed, shrink=lambda width, height: shrunk)
                with pytest.raises(Unreadable):
                    decode_jpeg(holed)


def test_what_libjpeg_says_of_the_head_is_no_damage():
    data = saved(PHOTO, "JPEG", quality=90)
    odd_version = data.replace(b"JFIF\0\x01", b"JFIF\0\x05", 1)
    bad_profile = data[:2] + b"\xff\xe2\0\x12ICC_PROFILE\0\x05\x01xx" + data[2:]
    assert reason(odd_version) is None
    assert reason(bad_profile) is None


def test_threads_that_decode_at_once_hear_of_their_own_file_only():
    whole = saved(textured(), "JPEG", quality=90)
    hole = whole[: len(whole) // 2] + bytes(2000) + whole[len(whole) // 2 + 2000 :]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(reason, [whole, whole, whole, hole] * 60))
    assert [each is None for each in found] == [True, True, True, False] * 60
    assert threading.active_count() < 20


def test_nothing_is_printed_by_the_decoders(tmp_path: Path):
    """libjpeg, libpng, libtiff and OpenCV's own lines, in a process whose standard error is looked at."""
    rng = random.Random(2)
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000", "AVIF"):
        whole = saved(PHOTO, kind)
        for number in range(12):
            data = bytearray(whole)
            for _ in range(3):
                data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
            (tmp_path / f"{kind}-{number}").write_bytes(data)
        (tmp_path / f"{kind}-half").write_bytes(whole[: len(whole) // 2])
    colours = saved(PHOTO, "BMP")
    (tmp_path / "colours").write_bytes(colours[:46] + b"\xff\xff\xff\x7f" + colours[50:])
    samples = saved(PHOTO, "TIFF")
    tag = samples.index(struct.pack("<HHII", 277, 3, 1, 3)[:8])  # samples per pixel
    (tmp_path / "samples").write_bytes(samples[: tag + 8] + b"\xff\x7f" + samples[tag + 10 :])
    lines = (
        "import sys; from pathlib import Path; from manifests.images.decode import decode_file, Unreadable",
        "for path in sorted(Path(sys.argv[1]).iterdir()):",
        "    try: decode_file(path)",
        "    except Unreadable as error: assert '/' not in str(error), error",
    )
    call = [sys.executable, "-c", "\n".join(lines), str(tmp_path)]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(call, cwd=root, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.reliability("photos that take for ever")
def test_an_endless_progressive_jpeg_is_refused():
    data = saved(PHOTO, "JPEG", quality=90, progressive=True)
    last = data.rindex(b"\xff\xda")
    assert "scans" in str(reason(data[:-2] + data[last:-2] * 200 + data[-2:]))


@pytest.mark.parametrize("name", ["script.jpg", "script.png"])
@pytest.mark.reliability("photos that start a program")
def test_a_program_is_not_run(tmp_path: Path, name: str):
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n{} loop\n"
    (tmp_path / name).write_bytes(script)
    with pytest.raises(Unreadable, match="not an image"):
        decode_file(tmp_path / name)


@pytest.mark.parametrize("kind", ["SGI", "TGA", "PCX", "ICO", "DDS"])
def test_formats_that_are_not_photos_are_not_opened(kind: str):
    assert "not an image" in str(reason(saved(PHOTO, kind)))


@pytest.mark.reliability("pipes in place of files")
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name, why in (("pipe.jpg", "named pipe"), ("folder.jpg", "folder")):
        with pytest.raises(Unreadable, match=f"not a file but a {why}"):
            decode_file(tmp_path / name)
    with pytest.raises(Unreadable, match="not a file but a device"):
        decode_file(Path("/dev/zero"))


@pytest.mark.reliability("photos that take all memory")
def test_a_huge_file_is_refused_by_its_size(tmp_path: Path):
    with open(tmp_path / "sparse.jpg", "wb") as file:
        file.truncate(60 * 10**9)
    with pytest.raises(Unreadable, match="too large: 60000000000 bytes"):
        decode_file(tmp_path / "sparse.jpg")


def png_head(width: int, height: int, color: int) -> bytes:
    """An RGB (2), palette (3) or RGBA (6) PNG of few bytes, whose pixels are not all there."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))]
    chunks += [(b"PLTE", bytes(3)), (b"tRNS", bytes(1))] if color == 3 else []
    chunks += [(b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(("color", "most"), [(2, 166), (3, 40), (6, 40)])
@pytest.mark.reliability("photos that take all memory")
def test_pictures_that_would_take_a_gigabyte_are_refused_by_their_head(color: int, most: int):
    side = int((most * 1e6) ** 0.5)
    assert "too large" in str(reason(png_head(side + 100, side + 100, color)))
    assert "too large" not in str(reason(png_head(side - 100, side // 4, color)))


def test_memory_of_a_transparent_picture_at_the_bound_is_under_a_gigabyte(tmp_path: Path):
    path = tmp_path / "bomb.png"
    Image.new("P", (6300, 6300)).save(path, transparency=0)
    assert path.stat().st_size < 30_000
    lines = (
        "import resource, sys; from pathlib import Path; from manifests.images.decode import decode_file",
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
        "before = most(); decode_file(Path(sys.argv[1])); print((most() - before) // 1024)",
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(path)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert int(done.stdout) < 1000, done.stderr


@pytest.mark.parametrize("kind", [b"IDAT", b"tEXt"])
@pytest.mark.reliability("photos that take all memory")
def test_a_length_out_of_all_reason_takes_no_memory(tmp_path: Path, kind: bytes):
    whole = saved(PHOTO, "PNG")
    path = tmp_path / "long.png"
    path.write_bytes(whole[:33] + b"\x7f\xff\xff\xf0" + kind + whole[41:])
    lines = (
        "import resource, sys; from pathlib import Path",
        "from manifests.images.decode import Unreadable, decode_file",
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
        "before = most()",
        "try: decode_file(Path(sys.argv[1]))",
        "except Unreadable: print((most() - before) // 1024)",
    )
    root, call = Path(__file__).resolve().parents[3], [sys.executable, "-c", "\n".join(lines), str(path)]
    done = subprocess.run(call, cwd=root, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) < 100, done.stderr


def test_the_animation_that_kills_opencv_is_read_without_it(shared: Path):
    with pytest.raises(Unreadable):
        decode_file(shared / "cases" / "damaged_apng.png")


@pytest.mark.parametrize("chunk", [b"fcTL", b"fdAT"])
def test_chunks_of_an_animation_without_its_head_do_not_reach_opencv(chunk: bytes):
    whole = saved(PHOTO, "PNG")
    body = struct.pack(">IIIIIHHBB", 0, 60_000, 60_000, 5000, 5000, 1, 1, 0, 0)
    extra = struct.pack(">I", len(body)) + chunk + body + struct.pack(">I", zlib.crc32(chunk + body))
    try:
        image = decode_bytes(whole[:33] + extra + whole[33:]).image
    except Unreadable:
        return
    assert np.array_equal(image, PHOTO)


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF", "AVIF"])
@pytest.mark.parametrize("exif", [b"II*\0", b"MM\0*\xff\xff\xff\xff", b"Exif\0\0", b"\xff"])
def test_a_damaged_exif_block_costs_no_pixel(kind: str, exif: bytes):
    rgba = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)])
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(rgba, kind, **options)
    if kind in ("WEBP", "PNG"):  # the others' writers parse it
        data = saved(rgba, kind, exif=exif, **options)
    assert np.abs(decode_bytes(data).image.astype(int) - PHOTO).max() < 30


def test_faces_that_are_whole_are_not_called_damaged(faces: Path):
    names = [path for path in sorted((faces / "portraits").iterdir()) if path.suffix == ".jpg"]
    assert len(names) > 5
    for path in names:
        decode_file(path)


def test_reasons_hold_no_place_in_memory():
    assert "0x" not in str(reason(b"BM" + io.BytesIO(bytes(200)).getvalue()))


def avif() -> bytes:
    """A photo as AVIF, whose brands name `mif1` as those of HEIC do."""
    data = saved(PHOTO, "AVIF", quality=80)
    assert b"mif1" in data[:40]
    return data


def test_a_damaged_avif_is_called_damaged():
    data = avif()
    assert reason(data) is None
    for wrong in (data[:40], data[:200], data[:40] + bytes(len(data) - 40)):
        assert reason(wrong) == "not an image, or its head is damaged"
    assert "damaged" in str(reason(data[:-50]))


def test_what_a_photo_of_another_format_needs_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pillow_formats, "_formats", lambda: ["JPEG"])
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)
    assert reason(avif()) == "AVIF needs another Pillow: pip install --upgrade pillow"
    assert reason(heic) == "HEIC needs another package: pip install 'deca-data[heic]'"
    monkeypatch.setattr(pillow_formats, "_formats", lambda: ["JPEG", "HEIF"])
    assert reason(heic) == "not an image, or its head is damaged"


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_heic_photo_is_read_upright_and_a_damaged_one_is_not(orientation: int):
    heif = pytest.importorskip("pillow_heif", reason="needs the package pillow-heif, of the extra heic")
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    turned = np.rot90(PHOTO, {1: 0, 6: 1}[orientation])
    heif.from_pillow(Image.fromarray(turned)).save(file, quality=95, exif=exif.tobytes())
    data = file.getvalue()
    decoded = decode_bytes(data)
    assert decoded.image.shape == PHOTO.shape
    assert np.abs(decoded.image.astype(float) - PHOTO).mean() < 3
    for wrong in (data[:60], data[: len(data) // 2], data[:-9], data[:40] + bytes(len(data) - 40)):
        said = reason(wrong)
        assert said is not None
        assert "package" not in said
