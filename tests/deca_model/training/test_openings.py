"""How far mouths and eyes are open, and the line of the figures that matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca_model.networks.model import Deca
from deca_model.settings.groups import EncoderSettings, ModelSettings, RunSettings
from deca_model.training.headline import headline
from deca_model.training.openings import carried_openings, opening_figures, openings
from tests.deca_model.synthetic import ASTRONAUT


def opened(lips: float, lids: float) -> np.ndarray:
    """The landmarks with the lower lips and lids moved down, in pixels."""
    points = ASTRONAUT.copy()
    points[[65, 66, 67], 1] += lips
    points[[40, 41, 46, 47], 1] += lids
    return points


def test_openings_do_not_depend_on_place_and_size():
    points = torch.from_numpy(np.stack([opened(8, 1), opened(8, 1) * 0.01 - 3]))
    found = openings(points)
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_a_reconstruction_that_follows_has_a_correlation_of_one():
    amounts = [(0.0, 4.0), (3.0, 2.0), (9.0, 3.0), (5.0, 0.0)]
    photo = openings(torch.from_numpy(np.stack([opened(*each) for each in amounts])))
    found = opening_figures(photo, photo * 0.5 + 0.1, -photo)
    assert found["mouth_correlation"] == pytest.approx(1)
    assert found["eye_correlation"] == pytest.approx(1)
    assert found["carried_mouth_correlation"] == pytest.approx(-1)
    # photos in which nothing opens but by the landmarks' jitter have nothing to follow
    still = photo[:1] + 0.01 * (photo - photo[:1])
    assert opening_figures(still, photo, photo) == {}
    # a head that never moves has no correlation, and no figure
    assert "mouth_correlation" not in opening_figures(photo, photo[:1].expand(4, 2), photo)


def test_the_jaw_opens_the_mouth_of_another_head():
    small = EncoderSettings(backbone="small")
    model = Deca(ModelSettings(encoder=small, uv_size=32, render_size=32), RunSettings()).eval()
    with torch.no_grad():
        codes = model.encode(torch.zeros(3, 3, 64, 64))
    pose = torch.zeros(3, 6)
    pose[:, 3] = torch.tensor([0.0, 0.15, 0.3])
    pose[:, 1] = torch.tensor([0.6, -0.6, 0.0])  # the driver's head pose has no effect
    found = carried_openings(model, codes._replace(pose=pose), torch.zeros(1, 100))
    assert found[0, 0] < found[1, 0] < found[2, 0]
    torch.testing.assert_close(found[:, 1], found[:1, 1].expand(3), rtol=0.1, atol=0.0)


def test_the_line_has_what_was_measured():
    figures = {"faces": 202, "landmark_error_median": 5.817}
    said = "202 held-out faces: landmark error 5.8 % of the inter-ocular distance (median)"
    assert headline(figures) == said
    figures |= {"shape_consistency": 0.905, "mouth_correlation": 0.6, "eye_correlation": 0.54}
    figures |= {"carried_mouth_correlation": 0.59, "detail_gain": 3.14}
    assert headline(figures).split(", ")[1:] == [
        "shape within/between persons 0.91",
        "mouths follow the photo 0.60 (on another head 0.59)",
        "eyes follow the photo 0.54",
        "details lower the UV error by 3.1 %",
    ]
