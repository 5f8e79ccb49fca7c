"""The page of `deca view`: its maths against the head's own, and the page itself in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path
from subprocess import DEVNULL

import numpy as np
import pytest
import torch

from deca_model.heads import load_head
from deca_model.use.reconstruction_files import Outputs, save_reconstruction
from deca_model.use.viewer import MODES, _face_data, _head_data, saved_faces, three_js, write_viewer
from manifests.errors import UsageError
from tests.deca_model.use.conftest import DRAWING, drawn
from tests.pipelines.share.webdriver import Browser

SKY = (233, 235, 238)


@pytest.fixture(scope="module")
def folder(found, tmp_path_factory) -> Path:
    """Two faces: the upper half of the photo of the first is red, the lower half blue; it has details."""
    model, _, result = found
    colours = torch.zeros_like(result.sharp)
    colours[0, 0, :256] = colours[0, 2, 256:] = 0.9
    colours[1] = result.sharp[1]
    wave = 0.0008 * torch.sin(torch.arange(64) * 0.9)
    changed = replace(result, sharp=colours, displacement=wave.expand(2, 1, 64, 64).contiguous())
    out = tmp_path_factory.mktemp("faces")
    save_reconstruction(model, changed, ["first", "sub/second"], out, Outputs(("ply",)))
    return out


@pytest.fixture(scope="module")
def page(folder) -> Path:
    write_viewer(saved_faces(folder), folder / "view.html")
    return folder / "view.html"


def browser(chromium: list[str], *words: str) -> str:
    """What Chromium prints; it draws with its software renderer."""
    command = [word for word in chromium if word != "--disable-gpu"] + [*DRAWING, *words]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=DEVNULL, text=True, timeout=120).stdout


def test_a_pattern_chooses_faces_by_name(folder):
    assert [face.name for face in saved_faces(folder, "sub/*")] == ["sub/second"]
    with pytest.raises(
        UsageError, match=r"--only third\*: no face in .* the first ones: first, sub/second\."
    ):
        saved_faces(folder, "third*")


def test_the_page_poses_a_head_as_the_head_itself_does(folder, found, chromium, tmp_path):
    head, (face, _) = load_head("open", teeth=True), saved_faces(folder)
    modes = torch.linspace(-1, 1, MODES)
    neck, jaw, eyes = [0.1, -0.4, 0.2], [0.35, 0.05, -0.02], [0.1, 0.3, 0]
    state = {"own": 0.5, "modes": modes.tolist(), "neck": neck, "jaw": jaw, "eyes": eyes}
    script = resources.files("deca_model.use").joinpath("web/head.js").read_text()
    data = json.dumps({"head": _head_data(head), "face": _face_data(head, face), "state": state})
    (tmp_path / "maths.html").write_text(f"""<!doctype html><p id=out></p><script>{script}
        const {{head, face, state}} = {data};
        for (const part of ["base", "own", "joints", "ownJoints"]) face[part] = numbers(face[part]);
        for (const part of ["modes", "modeJoints", "correctives"]) head[part] = head[part].map(numbers);
        for (const part of ["weights", "faces"]) head[part] = numbers(head[part]);
        const points = posed(head, face, state), normals = vertexNormals(points, head.faces);
        document.getElementById("out").textContent = JSON.stringify([[...points], [...normals]]);
        </script>""")
    told = browser(chromium, "--dump-dom", (tmp_path / "maths.html").as_uri())
    points, normals = json.loads(re.findall(r'<p id="out">(.*?)</p>', told)[0])
    expression = 0.5 * face.codes.expression
    expression[:, :MODES] += modes
    pose = torch.tensor([[0, 0, 0, *jaw]])
    expected = (
        head(face.codes.shape, expression, pose, torch.tensor([neck]), torch.tensor([eyes * 2]))
        .vertices[0]
        .numpy()
    )
    np.testing.assert_allclose(np.reshape(points, (-1, 3)), expected, atol=2e-5)
    corners = expected[head.faces.numpy()]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(expected)
    np.add.at(total, head.faces.numpy(), across[:, None].repeat(3, axis=1))
    cosines = (total / np.linalg.norm(total, axis=1, keepdims=True) * np.reshape(normals, (-1, 3))).sum(
        axis=1
    )
    assert np.quantile(cosines, 0.01) > 0.999


def test_the_head_is_there_upright_and_the_address_moves_it(page: Path, driven: Browser):
    def seen(place: str) -> np.ndarray:
        driven.open(f"{page.as_uri()}{place}", 720, 500)
        return drawn(driven)

    photo = seen("")
    head = (np.abs(photo - SKY) > 12).any(axis=2)
    assert 0.15 < head.mean() < 0.7
    assert not head[:4].any()
    red = (photo[..., 0] > 1.5 * photo[..., 2] + 30) & head
    blue = (photo[..., 2] > 1.5 * photo[..., 0] + 30) & head
    assert min(red.sum(), blue.sum()) > 0.05 * head.sum()
    assert np.nonzero(red)[0].mean() < np.nonzero(blue)[0].mean() - 30  # the photo's top is on top
    grey = seen("#surface=grey&view=0")
    moved = seen("#surface=grey&view=0&jaw=28")
    changed = np.abs(grey - moved).max(axis=2) > 25
    rows, _ = np.nonzero((np.abs(grey - SKY) > 12).any(axis=2))
    middle = (rows.min() + rows.max()) / 2
    assert 0.005 < changed.mean() < 0.2
    assert np.nonzero(changed)[0].mean() > middle  # the jaw is in the lower half
    hue = grey.max(axis=2) - grey.min(axis=2)
    assert np.median(hue[(np.abs(grey - SKY) > 12).any(axis=2)]) < 12  # grey, but for the eyes


def test_every_control_moves_the_head_and_the_page_asks_for_nothing(page: Path, driven: Browser):
    """As a user does it: sliders, choices and buttons; what is drawn is read before and after."""

    def slide(name: str, value: float) -> None:
        driven.run(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event('input', {bubbles: true}))",
            name,
            value,
        )

    def changed(before: np.ndarray) -> float:
        return float((np.abs(drawn(driven) - before).max(axis=2) > 8).mean())

    driven.open(f"{page.as_uri()}#view=0", 720, 500)
    start = drawn(driven)
    sliders = driven.run("return [...document.querySelectorAll('input[type=range]')].map(e => e.id)")
    assert {"jaw", "turn", "nod", "tilt", "look", "own", "mode0"} < set(sliders)
    for name, value in {"jaw": 25, "turn": 30, "nod": 20, "look": 25, "own": 0, "mode0": 3}.items():
        slide(name, value)
        assert changed(start) > 0.0005, name
        driven.click("#reset")
        assert changed(start) == 0, name
    for control in ("#details", "input[value=grey]"):
        driven.click(control)
        assert changed(start) > 0.003, control
    driven.choose("#face", "1")
    driven.wait(lambda: changed(start) > 0.1)
    assert driven.run("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert driven.messages() == []


def test_the_page_loads_nothing_and_its_policy_forbids_it(page):
    text = page.read_text()
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[0]
    assert policy.startswith("default-src 'none'; img-src data: blob:;")
    assert "unsafe" not in policy
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", text)
    assert "Three.js Authors" in text  # its licence stays with it
    assert "SPDX-License-Identifier: MIT" in three_js()[:300]
    names = [face["name"] for face in json.loads(re.findall(r'id="data">(.*?)</script>', text)[0])["faces"]]
    assert names == ["first", "sub/second"]


def test_what_cannot_be_viewed_is_one_sentence(folder, tmp_path):
    with pytest.raises(UsageError, match="there is no such folder"):
        saved_faces(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no reconstructed face"):
        saved_faces(tmp_path)
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy/first_texture.png").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"first_texture\.png: this picture cannot be read"):
        write_viewer(saved_faces(tmp_path / "copy"), tmp_path / "view.html")
    assert not (tmp_path / "view.html").exists()
    other = [replace(face, head="flame") for face in saved_faces(folder)]
    with pytest.raises(UsageError, match=r"has the flame head; .* with --head-path"):
        write_viewer(other, tmp_path / "view.html")
