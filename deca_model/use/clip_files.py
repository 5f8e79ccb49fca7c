"""Writing a clip: a film, the codes of every frame, and the files of its most frontal face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.use.clips import Clip, clip_faces, one_frame
from deca_model.use.film_files import write_film
from deca_model.use.films import clip_film
from deca_model.use.photo_texture import photo_texture
from deca_model.use.reconstruction_files import Outputs, save_reconstruction
from manifests.files import atomic_path


@torch.no_grad()
def save_clip(
    model: Deca,
    size: int,
    clip: Clip,
    image: Callable[[int], np.ndarray],
    name: str,
    out: Path,
    *,
    per_second: float,
    sound: Path | None = None,
    outputs: Outputs | None = None,
    each: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write NAME.mp4, NAME_frames.npz, and with NAME the files of the frame that looks most to the front.

    The film shows each frame, the shape over it, the shape with details, and the textured head.
    NAME_frames.npz has the codes of all frames by name, and ``crop``: centre and side of each crop in pixels.
    The texture and the detail code are those of the frontal frame.

    Args:
        model: the model.
        size: side of its crops in pixels.
        clip: codes of all frames.
        image: the frame of a number, (H, W, 3) uint8 RGB.
        name: of the files.
        out: their folder.
        per_second: frames per second.
        sound: a video whose sound the film gets.
        outputs: what to write of the frontal frame.
        each: is called after each frame of the film.

    Returns:
        The written files.
    """
    alone = one_frame(clip, clip.frontal)
    (face,) = clip_faces(model, size, alone, [image(clip.frontal)])
    detail = None
    if model.detail is not None:
        detail = model.encode_detail(face.photos)
        face = replace(face, displacement=model.displacement(detail, face.posed.codes))
    written = save_reconstruction(model, face, [name], out, outputs)
    codes = out / f"{name}_frames.npz"
    arrays = {key: value.cpu().numpy() for key, value in zip(Codes._fields, clip.codes, strict=True)}
    crops = np.array([[*square.center, square.side] for square in clip.squares])
    with atomic_path(codes) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, crop=crops, per_second=per_second, head=np.array(model.head.name))
    faces = clip_faces(model, size, clip, map(image, range(len(clip.squares))), detail)

    def told() -> Iterator[np.ndarray]:
        for frame in clip_film(model, faces, photo_texture(model, face)):
            yield frame
            each()

    film = out / f"{name}.mp4"
    write_film(film, told(), per_second, sound)
    return [*written, codes, film]
