"""The `deca` commands on a model that `deca train` made of the demo's photos, in all three stages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from deca_model.files.obj import read_obj
from tests.conftest import ALL
from tests.e2e.conftest import DRIVER, FACELESS, PERSON, TRUNCATED, Call, environment, put, shell

MESHES = (".glb", ".obj", "_detail.glb", "_detail.obj")
MAPS = ("_texture.png", "_albedo.png", "_displacement.png", "_normals.png")


def test_reconstruct_writes_heads_whose_texture_is_the_photo(trained: Path):
    for number in (1, 2):
        source = trained / f"vggface2/train/n000002/{number:04d}_01.jpg"
        put(trained / f"few/of hers/{number:04d}_01.JPG", source.read_bytes())
    put(trained / "few/0001_01.jpg", (trained / PERSON).read_bytes())
    line = f"deca reconstruct {PERSON} {TRUNCATED} {FACELESS} few --out faces --json"
    told = json.loads(shell(trained, line))
    names = ["0001_01", "0001_01_2", "of_hers/0001_01", "of_hers/0002_01"]
    assert [each["mesh"] for each in told["reconstructed"]] == [f"faces/{name}.obj" for name in names]
    assert [Path(each["photo"]).name for each in told["skipped"]] == ["0101_01.jpg", "0102_01.jpg"]
    assert "truncated" in told["skipped"][0]["reason"]
    assert "no face" in told["skipped"][1]["reason"]
    meshes = [Path(each["mesh"]) for each in told["reconstructed"]]
    for mesh in meshes:
        for ending in (*MESHES, *MAPS, ".mtl", ".npz", ".json", ".png"):
            assert (trained / mesh.with_name(mesh.stem + ending)).stat().st_size > 0
    for each in told["reconstructed"]:
        check_texture(trained / each["photo"], trained / each["mesh"])


def check_texture(photo: Path, mesh: Path) -> None:
    """The texture at a vertex is the photo where the vertex falls; mirrored or upside down it is not."""
    head, codes = read_obj(mesh), np.load(mesh.with_suffix(".npz"))
    texture = cv2.imread(str(mesh.with_name(f"{mesh.stem}_texture.png"))).astype(float)
    image = cv2.imread(str(photo)).astype(float)
    scale, tx, ty = codes["camera"]
    x, y, side = codes["crop"]
    at = (head.vertices[:, :2] + [tx, ty]) * [scale, -scale] * side / 2 + [x, y]
    uv = np.zeros((len(head.vertices), 2))
    uv[head.faces] = head.uv[head.uv_faces]
    a, b, c = (head.vertices[head.faces[:, n]] for n in range(3))
    normals = np.zeros_like(head.vertices)
    np.add.at(normals, head.faces, np.cross(b - a, c - a)[:, None].repeat(3, axis=1))
    middle = head.vertices.mean(0)
    front = normals[:, 2] > 0.8 * np.linalg.norm(normals, axis=1)  # the outer side, looking to +z
    front &= (head.vertices[:, 2] > middle[2] + 0.03) & (np.abs(at - [x, y]).max(1) < 0.3 * side)
    assert front.sum() > 100

    def difference(u: np.ndarray, v: np.ndarray) -> float:
        places = np.stack([u, 1 - v], axis=1)[front] * texture.shape[0] - 0.5
        return float(np.abs(sample(texture, places) - sample(image, at[front])).mean())

    right = difference(uv[:, 0], uv[:, 1])
    assert right < 0.75 * difference(1 - uv[:, 0], uv[:, 1])
    assert right < 0.75 * difference(uv[:, 0], 1 - uv[:, 1])
    assert right < 0.75 * difference(1 - uv[:, 0], 1 - uv[:, 1])


def sample(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Colours at (N, 2) points x, y in pixels."""
    places = points.astype(np.float32)[None]
    return cv2.remap(picture, places[..., 0], places[..., 1], cv2.INTER_LINEAR)[0]


def test_the_newest_run_is_taken_and_said(call: Call):
    done = call(f"reconstruct {PERSON} --no-details --out newest")
    assert done.err.startswith("model: runs/0")
    assert "the newest run here (--model names another)" in done.err
    assert re.search(r"\n  \d+ steps.*; `deca fit` makes heads without a model\n", done.err)
    assert call(f"reconstruct {PERSON} --no-details --out newest --quiet").err == ""
    assert call(f"reconstruct {PERSON} --no-details --out newest --model runs/001").err == ""


def test_details_can_be_left_out_and_asked_for(trained: Path, call: Call):
    done = call(f"reconstruct {PERSON} --no-details --out plain --model runs/001/detail")
    assert done.code == 0
    assert "faces reconstructed: 1" in done.out
    assert not (trained / "plain/0001_01_detail.obj").exists()
    done = call(f"reconstruct {PERSON} --details --model runs/001/coarse")
    assert done.code == 2
    assert "train them with `deca train --stage detail`" in done.err


def test_transfer_keeps_the_person_and_takes_the_drivers_expression(trained: Path, call: Call):
    assert call(f"reconstruct {PERSON} {DRIVER} --out both").code == 0
    done = call(f"transfer --person {PERSON} --driver {DRIVER} --out moved --json")
    files = [trained / path for path in json.loads(done.out)["files"]]
    endings = {path.name.removeprefix("0001_01_as_0002_01") for path in files}
    assert endings == {*MESHES, "_texture.png", ".npz", ".json", ".png"}
    saved = trained / "moved/0001_01_as_0002_01"
    person, driver, moved = (
        np.load(p.with_suffix(".npz")) for p in (trained / "both/0001_01", trained / "both/0002_01", saved)
    )
    # the batch was of two and is of one now, which changes the last digits
    np.testing.assert_allclose(moved["expression"], driver["expression"], atol=1e-6)
    np.testing.assert_allclose(moved["pose"][3:], driver["pose"][3:], atol=1e-6)
    assert np.abs(person["expression"] - driver["expression"]).max() > 1e-4
    for name in ("shape", "texture", "light", "camera", "crop"):
        np.testing.assert_allclose(moved[name], person[name], atol=1e-5)
    assert cv2.imread(str(saved.with_suffix(".png"))).shape == (256, 6 * 256, 3)
    texture = cv2.imread(str(trained / "both/0001_01_texture.png"))
    again = cv2.imread(str(trained / "moved/0001_01_as_0002_01_texture.png"))
    assert np.abs(again.astype(int) - texture).max() <= 1


def test_a_head_turn_shows_the_whole_head_from_both_sides(trained: Path, call: Call):
    done = call(f"animate {PERSON} --frames 4 --out turn --model runs/001")
    assert "turn: 4 frames" in done.out
    frames = [cv2.imread(str(path)) for path in sorted((trained / "turn").iterdir())]
    assert [frame.shape for frame in frames] == [(256, 512, 3)] * 4
    for frame in frames:
        border = np.concatenate([frame[:4].ravel(), frame[-4:].ravel(), frame[:, :4].ravel()])
        assert (border == 255).all()  # nothing is cut off
        assert (frame < 250).any(axis=2).mean() > 0.2
    # the nose points to the right of the picture first, then to the left: the brighter, nearer cheek moves
    right, left = (frame[:, :256] for frame in (frames[1], frames[3]))
    mirrored = np.abs(right.astype(int) - left[:, ::-1]).mean()
    assert mirrored < 0.6 * np.abs(right.astype(int) - left).mean()


@pytest.mark.parametrize("film", ["film.mp4", "film.gif"])
def test_a_folder_or_a_video_drives_the_face(call: Call, tmp_path: Path, film: str):
    done = call(f"animate {PERSON} --drive vggface2/train/n000002 --frames 3 --out {tmp_path / film} --json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"film": str(tmp_path / film), "frames": 3, "skipped": 0}
    capture = cv2.VideoCapture(str(tmp_path / film))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    assert [frame.shape for frame in frames] == [(256, 768, 3)] * 3
    if film.endswith(".mp4"):  # of the kind that browsers play; and that film can drive another
        with av.open(str(tmp_path / film)) as opened:
            codec = opened.streams.video[0].codec_context
            assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        done = call(f"animate {PERSON} --drive {tmp_path / film} --out {tmp_path / 'again'} --json")
        assert json.loads(done.out)["frames"] == 3
        assert len(list((tmp_path / "again").iterdir())) == 3


@pytest.mark.skipif(not ALL, reason="makes two films and a page; `make test-all` does")
def test_a_video_becomes_one_person_with_one_shape(trained: Path, call: Call, tmp_path: Path):
    """The film of a head's turn, as a video of a person: a film, the codes of its frames, and a page."""
    assert (
        call(f"animate {PERSON} --drive vggface2/train/n000002 --frames 4 --out {tmp_path / 'in.mp4'}").code
        == 0
    )
    line = f"reconstruct {tmp_path / 'in.mp4'} {PERSON} --formats ply --save-depth --no-details"
    done = call(f"{line} --out {tmp_path / 'out'} --json")
    told = json.loads(done.out)
    (video,) = told["videos"]
    assert (video["film"], video["frames"]) == (str(tmp_path / "out/in.mp4"), 4)
    assert "one shape, smoothed over 0.06 s (--no-smooth leaves it out)" in video["said"]
    assert [each["mesh"] for each in told["reconstructed"]] == [str(tmp_path / "out/0001_01.ply")]
    with np.load(tmp_path / "out/in_frames.npz") as file:
        assert file["shape"].shape == (4, 100)
        assert (file["shape"] == file["shape"][0]).all()
    endings = {
        ".mp4",
        "_frames.npz",
        ".ply",
        ".npz",
        ".json",
        ".png",
        "_texture.png",
        "_albedo.png",
        "_depth.png",
    }
    assert {path.name[2:] for path in (tmp_path / "out").glob("in*")} == endings
    done = call(f"view {tmp_path / 'out'} --json")
    told = json.loads(done.out)
    assert (told["shown"], told["page"]) == (2, str(tmp_path / "out/view.html"))
    assert (tmp_path / "out/view.html").stat().st_size == told["bytes"] > 1_000_000


def test_a_fitted_head_has_the_files_of_a_reconstructed_one(call: Call, tmp_path: Path):
    done = call(f"fit {PERSON} --formats glb --save-depth --out {tmp_path / 'fit'} --json")
    (each,) = json.loads(done.out)["reconstructed"]
    assert each["mesh"] == str(tmp_path / "fit/0001_01.glb")
    endings = {".glb", "_detail.glb", ".npz", ".json", ".png", "_depth.png", *MAPS}
    assert {path.name.removeprefix("0001_01") for path in (tmp_path / "fit").iterdir()} == endings
    texture = cv2.imread(str(tmp_path / "fit/0001_01_texture.png"))
    assert texture.shape == (512, 512, 3)


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ("reconstruct nowhere.jpg", 2, "nowhere.jpg: there is no such photo or folder"),
        ("reconstruct empty", 2, "this folder holds no photo"),
        (f"reconstruct {PERSON} --model runs/007", 2, "train one with `deca train --manifest train.parquet`"),
        (f"reconstruct {PERSON} --model train.parquet", 2, "not a readable checkpoint"),
        (f"reconstruct {PERSON} --model model.tar", 2, "give FLAME's file with --head-path"),
        (f"reconstruct {PERSON} --out train.parquet", 2, "this is a file; name a folder"),
        (f"reconstruct {PERSON} --out /proc/x", 2, "cannot be written"),
        (f"reconstruct {PERSON} --backend magic", 2, "no landmarker backend 'magic'"),
        (f"reconstruct {PERSON} --device tpu:9", 2, "no such device"),
        (f"reconstruct {TRUNCATED}", 1, "truncated"),
        (f"reconstruct {TRUNCATED} {FACELESS}", 1, "no face in any of the 2 photos"),
        (f"reconstruct {PERSON} --formats stl", 2, "there is no mesh format 'stl'"),
        (f"reconstruct {PERSON} --rasterizer magic", 2, "rasteriser 'magic' is unknown"),
        (f"fit {PERSON} --rasterizer magic", 2, "rasteriser 'magic' is unknown"),
        ("reconstruct broken.mp4", 2, "not a video"),
        ("view nowhere", 2, "there is no such folder"),
        ("view empty", 2, "holds no reconstructed face"),
        ("view empty --out 0001_01.npz", 2, "name a file that ends in .html"),
        (f"transfer --person {PERSON} --driver {FACELESS}", 1, "no face found"),
        (f"transfer --person {PERSON} --driver vggface2", 2, "name one photo"),
        (f"transfer --person {PERSON}", 2, "Missing option"),
        (f"animate {PERSON} --out film.avi", 2, "ends in .mp4 or .gif"),
        (f"animate {PERSON} --out /proc/film.gif", 2, "cannot be written"),
        (f"animate {PERSON} --out empty.mp4", 2, "this is a folder; name a file"),
        (f"animate {PERSON} --drive film.mov", 2, "there is no such photo or folder"),
        (f"animate {PERSON} --drive broken.mp4", 2, "not a video"),
    ],
)
def test_bad_calls_are_one_sentence(trained: Path, call: Call, line: str, code: int, sentence: str):
    for name in ("empty", "empty.mp4"):
        (trained / name).mkdir(exist_ok=True)
    for name in ("model.tar", "broken.mp4"):
        (trained / name).write_bytes(b"x")
    done = call(line)
    assert sentence in done.err
    assert done.code == code
    assert "Traceback" not in done.err
    assert sum(text.startswith("error: ") for text in done.err.splitlines()) == ("Missing" not in sentence)


def test_without_any_model_the_head_is_fitted_and_that_is_said(
    call: Call, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    done = call(f"reconstruct {trained / PERSON} --formats ply --no-details")
    assert done.code == 0
    assert "no --model and no run in ./runs: the open head is fitted, as by `deca fit`" in done.err
    assert (tmp_path / "reconstructions/0001_01.ply").stat().st_size > 0
    for option, sentence in (("--rasterizer magic", "'magic' is unknown"), ("--head-path x", "--head-path")):
        done = call(f"reconstruct {trained / PERSON} {option}")  # no option is dropped in silence
        assert (done.code, sentence in done.err) == (2, True)


def test_assets_are_found_and_their_settings_named(call: Call, tmp_path: Path):
    for name in ("flame/generic_model.pkl", "flame/head_template.obj", "nets/vgg19-dcbb9e9d.pth"):
        put(tmp_path / name, b"x")
    told = json.loads(call(f"assets --folder {tmp_path} --json").out)
    found = {each["name"]: each for each in told["assets"]}
    assert found["open"]["state"] == "built in"
    assert found["flame"]["state"] == "incomplete"
    assert found["flame"]["lacks"] == ["landmark_embedding.npy"]
    assert found["vgg19"]["state"] == "found"
    assert found["vgg19"]["settings"] == [f"--set loss.vgg_weights={tmp_path / 'nets/vgg19-dcbb9e9d.pth'}"]
    assert found["vggface2 resnet50"]["state"] == "missing"
    text = call(f"assets --folder {tmp_path}").out
    assert "landmark_embedding.npy" in text
    assert "--set loss.identity_weights=FILE" in text


@pytest.mark.parametrize(("app", "examples"), [("deca", 17), ("deca_data", 18)])
def test_help_of_every_command_answers_without_heavy_imports(app: str, examples: int):
    program = f"""if True:
        import sys
        from commands.exit_codes import run_app
        from cli import {app} as make
        names = [[c.name] for c in make().registered_commands]
        for group in make().registered_groups:
            inner = group.typer_instance
            names += [[inner.info.name], *([inner.info.name, c.name] for c in inner.registered_commands)]
        for words in [*names, []]:
            sys.argv = ["{app}", *words, "--help"]
            try:
                run_app(make)
            except SystemExit as done:
                assert not done.code, words
        """
    words = [sys.executable, "-X", "importtime", "-c", program]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported
    heavy = {"torch", "numba", "mediapipe", "cv2", "pandas", "pyarrow", "dask", "numpy"}
    assert not heavy & imported
    assert done.stdout.count("Example: deca") == examples
