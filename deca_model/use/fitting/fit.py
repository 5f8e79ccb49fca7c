"""Heads from photos without a trained model: landmarks, then light and albedo, then wrinkles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from deca_model.heads import HEADS
from deca_model.networks.codes import CODE_SIZES, Codes
from deca_model.networks.model import Deca
from deca_model.render.light import ambient_light
from deca_model.settings.groups import EncoderSettings, ModelSettings, RunSettings
from deca_model.use.fitting.colours import fit_colours
from deca_model.use.fitting.details import fit_details
from deca_model.use.fitting.face_codes import FaceCodes
from deca_model.use.fitting.gaze import look, with_gaze
from deca_model.use.fitting.landmark_fit import LandmarkFit
from deca_model.use.fitting.outline_fit import OutlineFit, Silhouette
from deca_model.use.fitting.smoothing import smoothed
from deca_model.use.fitting.targets import Target, make_target
from deca_model.use.inference import Reconstruction, as_pictures, sharp_crop
from manifests.errors import UsageError
from manifests.images.crop import Square, covered_part, cut_square, face_square, snap
from manifests.landmarks import interocular

SIZE, UV_SIZE = 256, 256
"""Sides of the crops in pixels and of the UV maps in texels."""
PROFILE = 0.6
"""Radians of yaw from which only the visible face of the photo becomes texture."""
SHAPE_PHOTOS = 12
"""A person's shape is found from at most so many of the photos, evenly spread."""


class FitFace(Protocol):
    """A photo with its face: landmarks, and the dense mesh and the mask where they are known."""

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        ...

    @property
    def landmarks(self) -> np.ndarray:
        """(68, 2) pixels."""
        ...

    @property
    def mesh(self) -> np.ndarray | None:
        """(478, 3) pixels, MediaPipe's mesh, with its depth."""
        ...

    @property
    def mask(self) -> np.ndarray | None:
        """(H, W) uint8, 255 on visible skin of the face."""
        ...


class View(NamedTuple):
    """What a fit keeps of a photo, so that many photos need little memory."""

    target: Target
    square: Square
    photo: np.ndarray  # (S, S, 3) uint8
    covered: np.ndarray  # (S, S) bool: inside the photo
    skin: np.ndarray  # (S, S) bool: visible skin of the face


AnyFace = TypeVar("AnyFace", bound=FitFace)


def groups(faces: Iterable[AnyFace], same_person: bool) -> Iterator[list[AnyFace]]:
    """The faces of one person at a time: all in one list, or each in a list of its own."""
    if same_person:
        yield list(faces)
    else:
        yield from ([face] for face in faces)


def fitting_model(head: str = "open", head_path: Path | None = None, uv_size: int = UV_SIZE) -> Deca:
    """Head, camera, albedo and renderer; its encoder is not used.

    Raises:
        UsageError: there is no such head, or its file is missing or does not fit.
    """
    if head not in HEADS:
        raise UsageError(f"there is no head named {head!r}: choose one of {', '.join(HEADS)}")
    small = EncoderSettings(backbone="small")
    settings = ModelSettings(head=head, head_path=head_path, encoder=small, uv_size=uv_size)  # type: ignore[arg-type]
    return Deca(settings, RunSettings(), teeth=True).eval()


class Fitter:
    """Fits the head of a model to faces.

    Args:
        model: from ``fitting_model``.
        size: side of the crops in pixels.
        details: whether displacement maps are found.
        outline: whether the outline of the mask refines shape, expression, pose and camera.
    """

    def __init__(self, model: Deca, size: int = SIZE, details: bool = True, outline: bool = True) -> None:
        self.model, self.size, self.details = model, size, details
        self._landmarks = LandmarkFit(model.head)
        self._outline = OutlineFit(model.head, self._landmarks) if outline else None

    def fit_each(self, faces: Sequence[AnyFace]) -> Iterator[tuple[AnyFace, Reconstruction]]:
        """Fit the head of one person to all photos of the person, which share the shape.

        Yields:
            Each face with its head, one after the other.
        """
        views = [self.view(face) for face in faces]
        known = self.shape_from(views)
        shape = next(iter(known.values())).shape
        for n, (face, view) in enumerate(zip(faces, views, strict=True)):
            found = known.get(n) or self._fit([view], shape)[0]
            head = with_sharp_crop(self.render([view], [found]), face.image)
            yield face, with_gaze(self.model, head, [look(face.landmarks, face.mesh)])

    def fit_clip(self, views: Sequence[View], per_second: float, smooth: bool = True) -> list[FaceCodes]:
        """The codes of a clip's frames: one shape; each frame starts from the one before; then smoothed."""
        known = self.shape_from(views)
        first = known[0]
        codes = [first]
        for view in views[1:]:
            codes.append(self._landmarks.follow(view.target, codes[-1]))
        return smoothed(codes, [view.square for view in views], per_second) if smooth else codes

    def shape_from(self, views: Sequence[View]) -> dict[int, FaceCodes]:
        """Codes of at most ``SHAPE_PHOTOS`` of the views, with one shape, by their numbers; 0 is one."""
        count = min(len(views), SHAPE_PHOTOS)
        places = np.unique(np.linspace(0, len(views) - 1, count).round().astype(int)).tolist()
        return dict(zip(places, self._fit([views[n] for n in places]), strict=True))

    def _fit(self, views: Sequence[View], shape: np.ndarray | None = None) -> list[FaceCodes]:
        """Codes of photos with one shape, the given one if there is one: from landmarks, then outlines."""
        targets = [view.target for view in views]
        codes = self._landmarks.fit(targets, shape)
        if self._outline is None:
            return codes
        parts = [Silhouette(view.skin, view.covered) for view in views]
        return self._outline.refine(targets, parts, codes, free_shape=shape is None)

    def view(self, face: FitFace) -> View:
        """What a fit keeps of a photo."""
        square, cut = snap(face_square(face.landmarks))
        inside = covered_part(cut, self.size, face.image.shape[:2])
        skin = inside if face.mask is None else inside & (cut_square(face.mask, cut, self.size) > 127)
        photo = cut_square(face.image, cut, self.size)
        target = make_target(self.model.head, square, face.landmarks, face.mesh)
        return View(target, square, photo.copy(), inside, skin)

    @torch.no_grad()
    def render(self, views: Sequence[View], found: Sequence[FaceCodes]) -> Reconstruction:
        """The rest of a fit, from known shape, expression, pose and camera: light, albedo, wrinkles."""
        photos = torch.from_numpy(np.stack([view.photo for view in views])).permute(0, 3, 1, 2).float() / 255
        covered, skin = (
            torch.from_numpy(np.stack([getattr(view, name)[None] for view in views])).float()
            for name in ("covered", "skin")
        )
        # On a head in profile, the smallest error lays the ground beside it onto nose and lips.
        turned = torch.tensor([abs(face.pose[1]) > PROFILE for face in found]).view(-1, 1, 1, 1)
        covered = torch.where(turned, covered * -max_pool2d(-skin, 3, 1, 1), covered)
        posed = self.model.pose(_codes(found))
        posed = posed._replace(codes=fit_colours(self.model, posed, photos, skin))
        displacement = fit_details(self.model, posed, photos, skin) if self.details else None
        return Reconstruction(photos, covered, tuple(view.square for view in views), posed, displacement)


def _codes(found: Sequence[FaceCodes]) -> Codes:
    """The codes of a batch, with white light and the mean albedo."""

    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(face, name) for face in found])).float()

    return Codes(
        shape=stacked("shape"),
        texture=torch.zeros(len(found), CODE_SIZES["texture"]),
        expression=stacked("expression"),
        pose=stacked("pose"),
        camera=stacked("camera"),
        light=ambient_light(len(found)),
    )


def with_sharp_crop(found: Reconstruction, image: np.ndarray) -> Reconstruction:
    """One face with its crop in more pixels, for texture and pictures; ``image`` is its photo (H, W, 3)."""
    _, cut = snap(found.squares[0])
    return replace(found, sharp=as_pictures(sharp_crop(image, cut)[None], found.photos.device))


def landmark_error(landmarks: np.ndarray, found: Reconstruction) -> float:
    """Mean distance of one face's fitted landmarks to the photo's, over the inter-ocular distance.

    ``landmarks`` are (68, 2), pixels of the photo.
    """
    apart = np.linalg.norm(found.landmarks()[0] - landmarks, axis=1).mean()
    return float(apart / max(interocular(landmarks[None])[0], 1e-6))
