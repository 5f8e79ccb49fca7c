"""Whether a landmark network finds the landmarks of rendered open heads where the head says they are.

    python -m benchmarks.redetection [--persons 50]

MediaPipe's face mesh and the map to the 68 landmarks run on shaded renders of random persons, turned by up to
25 degrees. An error is the distance of a landmark in percent of the distance between the outer eye corners.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from mediapipe.python.solutions import face_mesh

from benchmarks.tables import markdown
from deca_data.backends.mediapipe.landmarks import ibug_landmarks
from deca_model.heads import Head, load_head
from deca_model.render.camera import project, to_pixels
from deca_model.render.normals import vertex_normals
from deca_model.render.rasterize import interpolate, rasterize

SIZE = 384
YAWS = (-25, -10, 0, 10, 25)
CAMERA = torch.tensor([[7.0, 0.0, 0.02]])
PARTS = {"all 68": slice(None), "inner 51": slice(17, None), "jaw line": slice(17)}


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--persons", type=int, default=50)
    errors = redetection_errors(parser.parse_args().persons)
    rows = [[name, f"{100 * errors[:, part].mean():.2f} %"] for name, part in PARTS.items()]
    print(
        markdown(["landmarks", "mean error"], [*rows, ["the worst landmark", f"{100 * errors.max():.1f} %"]])
    )


def redetection_errors(persons: int) -> np.ndarray:  # (persons, 68)
    """Error of each landmark of each random person, over the distance between the outer eye corners.

    Raises:
        RuntimeError: the network finds no face in a render.
    """
    head = load_head("open")
    shapes = torch.randn(persons, 100, generator=torch.Generator().manual_seed(7))
    errors = []
    with face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as network:
        for i, shape in enumerate(shapes):
            yaw = YAWS[i % len(YAWS)]
            picture, truth = render(head, shape[None], yaw)
            found = network.process(picture).multi_face_landmarks  # pyright: ignore
            if not found:
                raise RuntimeError(f"no face found in the render of person {i} at {yaw} degrees")
            mesh = np.array([[p.x, p.y, p.z] for p in found[0].landmark]) * SIZE - (0.5, 0.5, 0)
            # A turned head shows the distance between the eyes shortened.
            eyes = np.linalg.norm(truth[45] - truth[36]) / np.cos(np.deg2rad(yaw))
            errors.append(np.linalg.norm(ibug_landmarks(mesh) - truth, axis=1) / eyes)
    return np.stack(errors)


def render(head: Head, shape: torch.Tensor, yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """A shaded picture (S, S, 3) of a head with dark irises, and its 68 landmarks in pixels."""
    pose = torch.tensor([[0, np.deg2rad(yaw), 0, 0, 0, 0]], dtype=torch.float32)
    out = head(shape, torch.zeros(1, 0), pose)
    colours = torch.tensor([205.0, 160.0, 138.0]).repeat(len(head.template), 1)
    for joint in (3, 4):
        ball = head.weights[:, joint] > 0.99
        ahead = head.template[ball] - head.joint_regressor[joint] @ head.template
        iris = ahead[:, 2] > np.cos(np.deg2rad(21)) * ahead.norm(dim=-1)
        colours[ball] = torch.where(iris[:, None], torch.tensor([60.0, 45.0, 35.0]), torch.tensor(225.0))
    fragments = rasterize(project(out.vertices, CAMERA), head.faces, SIZE)
    normals = interpolate(fragments, vertex_normals(out.vertices, head.faces)[:, head.faces])[0]
    light = torch.tensor([0.0, 0.5, 0.85])
    shade = 0.4 + 0.6 * (torch.nn.functional.normalize(normals, dim=-1) @ (light / light.norm())).clamp(min=0)
    picture = interpolate(fragments, colours[head.faces])[0] * shade[..., None]
    picture[fragments.face_index[0] < 0] = 90.0
    points = to_pixels(project(out.landmarks_2d, CAMERA), SIZE)[0]
    return picture.clamp(0, 255).byte().numpy(), points.numpy()


if __name__ == "__main__":
    main()
