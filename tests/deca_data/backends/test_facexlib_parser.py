"""facexlib's real networks, with weights that the tests save under the real names in the real format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("facexlib")

from facexlib.parsing.bisenet import BiSeNet  # noqa: E402
from facexlib.parsing.parsenet import ParseNet  # noqa: E402

from deca_data.backends import load_backend  # noqa: E402
from deca_data.backends.facexlib_parser import (  # noqa: E402
    BISENET_FACE,
    PARSENET_FACE,
    aligned_frame,
    face_mask,
)
from manifests.errors import UsageError  # noqa: E402

# Both orders, written out by name.
BISENET: list[str] = [
    *("background", "skin", "left_brow", "right_brow", "left_eye", "right_eye", "glasses"),
    *("left_ear", "right_ear", "earring", "nose", "mouth", "upper_lip", "lower_lip"),
    *("neck", "necklace", "cloth", "hair", "hat"),
]
PARSENET: list[str] = [
    *("background", "skin", "nose", "glasses", "left_eye", "right_eye", "left_brow"),
    *("right_brow", "left_ear", "right_ear", "mouth", "upper_lip", "lower_lip", "hair"),
    *("hat", "earring", "necklace", "neck", "cloth"),
]
FACE = {
    *("skin", "left_brow", "right_brow", "left_eye", "right_eye", "nose", "mouth", "upper_lip", "lower_lip"),
}


def save(network: Any, path: Path, winner: str | None = None, order: list[str] | None = None) -> Path:
    """Saves random weights; with ``winner`` the last layer gives that class everywhere."""
    if winner is not None and order is not None:
        last = network.conv_out.conv_out if isinstance(network, BiSeNet) else network.out_mask_conv.conv2d
        torch.nn.init.zeros_(last.weight)
        if last.bias is None:  # BiSeNet's last layer has no bias: make the input constant instead
            before = network.conv_out.conv.bn
            torch.nn.init.zeros_(before.weight)
            torch.nn.init.ones_(before.bias)
            with torch.no_grad():
                last.weight[order.index(winner)] = 1
        else:
            torch.nn.init.zeros_(last.bias)
            with torch.no_grad():
                last.bias[order.index(winner)] = 1
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_one_sentence(tmp_path, device):
    path = save(BiSeNet(num_class=19), tmp_path / "parsing_bisenet.pth")
    with pytest.raises(UsageError, match=f"--device {device}: torch cannot use it"):
        load_backend("parser", "bisenet", weights=path, device=device)


@pytest.fixture(scope="module")
def photo() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The astronaut, her box and landmarks."""
    image = np.ascontiguousarray(pytest.importorskip("skimage.data").astronaut())
    box = load_backend("detector", "mediapipe").detect([image])[0][0].box
    found = load_backend("landmarker", "mediapipe").landmarks([image], [box])[0]
    assert found is not None
    return image, box, found.points


@pytest.mark.parametrize(
    ("order", "face_classes"),
    [(BISENET, BISENET_FACE), (PARSENET, PARSENET_FACE)],
    ids=["bisenet", "parsenet"],
)
def test_label_order(order: list[str], face_classes: tuple[int, ...]) -> None:
    assert len(order) == 19
    logits = torch.full((1, 19, 1, 19), -3.0)
    for index in range(19):
        logits[0, index, 0, index] = 3.0
    shown = face_mask(logits, face_classes)[0, 0].tolist()
    assert {name for name, face in zip(order, shown, strict=True) if face} == FACE


def test_aligned_crop_shows_the_face_as_the_networks_know_it(photo: tuple) -> None:
    _, _, landmarks = photo
    frame = aligned_frame(landmarks)
    points = np.array(
        [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[30], *landmarks[[48, 54]]]
    )
    in_crop = points @ frame.matrix[:, :2].T + frame.matrix[:, 2]
    expected = [[193, 240], [319, 240], [257, 314], [201, 371], [313, 371]]  # facexlib's own 512 px template
    assert np.abs(in_crop - expected).max() < 25


def test_bisenet_runs(tmp_path: Path, photo: tuple) -> None:
    image, box, landmarks = photo
    path = save(BiSeNet(num_class=19), tmp_path / "parsing_bisenet.pth", "skin", BISENET)
    parser = load_backend("parser", "bisenet", weights=tmp_path)  # the folder
    flipped = np.ascontiguousarray(image[:, ::-1])
    other = landmarks * (-1, 1) + (image.shape[1] - 1, 0)
    first, second = parser.parse([image, flipped[:300]], [box, box], [landmarks, other])
    assert first.shape == (512, 512)
    assert second.shape == (300, 512)
    corners = cv2.invertAffineTransform(aligned_frame(landmarks).matrix) @ [256, 256, 1]
    assert first[round(corners[1]), round(corners[0])] == 255
    assert first[-1, -1] == 0, "outside the crop nothing is face"
    assert parser.fingerprint()["weights"] != ""
    save(BiSeNet(num_class=19), path, "hair", BISENET)
    bald = load_backend("parser", "bisenet", weights=path)  # the file
    assert not bald.parse([image], [box], [landmarks])[0].any()
    assert bald.fingerprint() != parser.fingerprint()


def test_parsenet_runs(tmp_path: Path, photo: tuple) -> None:
    image, box, landmarks = photo
    save(ParseNet(512, 512, parsing_ch=19), tmp_path / "parsing_parsenet.pth", "nose", PARSENET)
    mask = load_backend("parser", "parsenet", weights=tmp_path).parse([image], [box], [landmarks])[0]
    assert mask.shape == (512, 512)
    x, y = np.round(landmarks[30]).astype(int)
    assert mask[y, x] == 255


@pytest.mark.parametrize("name", ["bisenet", "parsenet"])
def test_missing_weights_name_file_place_and_options(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        load_backend("parser", name, weights=tmp_path)
    text = str(error.value)
    assert str(tmp_path / f"parsing_{name}.pth") in text
    assert "--weights" in text
    assert "--download" in text


def test_wrong_or_unsafe_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "parsing_bisenet.pth")
    with pytest.raises(UsageError, match=r"parsing_bisenet\.pth: .* facexlib's weights of BiSeNet"):
        load_backend("parser", "bisenet", weights=tmp_path)
    torch.save(
        {"a": Path("x")}, tmp_path / "parsing_bisenet.pth"
    )  # an object that only a full unpickler makes
    with pytest.raises(UsageError, match="does not hold facexlib's weights"):
        load_backend("parser", "bisenet", weights=tmp_path)
