"""`deca-data doctor`: installed packages, working backends, how to fix what is missing, and a self-test."""

from __future__ import annotations

import contextlib
import platform
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from deca_data.backends import BACKENDS, load_backend
from deca_data.sample import Sample
from deca_data.stages import stages
from manifests.errors import UsageError
from pipelines.demo.portraits import portraits
from pipelines.run.stage_plan import make_stage, with_defaults
from pipelines.workspace.workspace import StageSpec

TRIED = ("detect", "landmarks", "masks")

PACKAGES: tuple[tuple[str, str, str], ...] = (
    ("numpy", "everything", ""),
    ("opencv-python", "everything", ""),
    ("pyarrow", "everything", ""),
    ("imagehash", "near duplicates", ""),
    ("mediapipe", "the default detection, landmarks and masks", "data"),
    ("dask", "more than one worker, clusters", "data"),
    ("face-alignment", "landmarks by FAN", "fan"),
    ("facexlib", "masks by face parsing, identity check by ArcFace", "parsing"),
    ("dlib-bin", "identity check without any download", "dlib"),
    ("torch", "training, FAN, face parsing, ArcFace", "train"),
    ("scikit-image", "the demo and this command's portraits", "demo"),
    ("matplotlib", "the demo and this command's portraits", "demo"),
)
"""Package, its purpose, and the extra that installs it."""

NEEDED_EXTRAS = ("", "data")
NEEDED_BACKENDS = {("detector", "mediapipe"), ("landmarker", "mediapipe"), ("parser", "mesh")}

ENABLES: Mapping[tuple[str, str], str] = {
    ("detector", "mediapipe"): "finding faces (the default)",
    ("landmarker", "mediapipe"): "68 landmarks from a dense mesh (the default)",
    ("landmarker", "face-alignment"): "68 landmarks by FAN, as in the DECA paper; slow without a GPU",
    ("parser", "mesh"): "masks of the visible face from mesh and skin colour (the default)",
    ("parser", "bisenet"): "masks by a network that recognises hair, hats, glasses and hands",
    ("parser", "parsenet"): "masks by another network, slower than bisenet",
    ("embedder", "dlib"): "the identity check (the default)",
    ("embedder", "arcface"): "the identity check by a stronger network",
}


@dataclass(frozen=True)
class Package:
    """A package: its version (None: not installed), its purpose, and the command that installs it.

    An ``optional`` one is needed by no default call of `deca-data`.
    """

    name: str
    version: str | None
    purpose: str
    fix: str
    optional: bool


@dataclass(frozen=True)
class Backend:
    """A backend: whether it works, what it enables, and its library and weights or its error.

    An ``optional`` one is no default of a stage that always runs, and not in the workspace's settings.
    """

    kind: str
    name: str
    works: bool
    enables: str
    details: str
    optional: bool


@dataclass(frozen=True)
class Trial:
    """A photo of the self-test: whether it shows a face, whether the result is right, and the result.

    The milliseconds are those of one core, with the models already loaded.
    """

    photo: str
    expected: bool
    passed: bool
    result: str
    milliseconds: float


@dataclass(frozen=True)
class Diagnosis:
    """All results; ``problem`` is None if the stages work."""

    system: str
    packages: list[Package]
    backends: list[Backend]
    trials: list[Trial]
    problem: str | None

    def as_dict(self) -> dict[str, Any]:
        """Returns the same, JSON-able."""
        return asdict(self)


def examine(remembered: Mapping[str, StageSpec]) -> Diagnosis:
    """Checks packages and backends, and runs the stages on three images.

    Args:
        remembered: the workspace's stage settings; their backends are checked with these weights.
    """
    system = f"Python {platform.python_version()}, {platform.platform(terse=True)}, {_devices()}"
    trials, problem = [], None
    try:
        trials = try_stages(remembered)
        wrong = [trial.photo for trial in trials if not trial.passed]
        problem = f"the self-test failed on: {', '.join(wrong)}" if wrong else None
    except UsageError as error:
        problem = str(error)
    return Diagnosis(system, packages(), backends(remembered), trials, problem)


def packages() -> list[Package]:
    """Lists the packages that the project uses, and the commands that install them."""
    targets = {extra: f"'deca-data[{extra}]'" if extra else "deca-data" for _, _, extra in PACKAGES}
    return [
        Package(name, _version(name), use, f"pip install {targets[extra]}", extra not in NEEDED_EXTRAS)
        for name, use, extra in PACKAGES
    ]


def backends(remembered: Mapping[str, StageSpec]) -> list[Backend]:
    """Makes every backend with the settings of ``remembered``; nothing is fetched."""
    known = stages()
    specs = {
        (known[name].backend_kind, each.backend): each for name, each in remembered.items() if name in known
    }
    found = []
    for kind, name in ((kind, name) for kind, entries in BACKENDS.items() for name in entries):
        spec = specs.get((kind, name), StageSpec(name=kind))
        works, details = False, ""
        try:
            made = load_backend(kind, name, device=spec.device, weights=spec.weights).fingerprint()
            works, details = True, ", ".join(f"{key} {text}" for key, text in made.items() if len(text) < 40)
        except UsageError as error:
            details = str(error)
        except Exception as error:  # any error of a library at import or in its files
            details = f"{type(error).__name__}: {error}"
        optional = (kind, name) not in specs and (kind, name) not in NEEDED_BACKENDS
        found.append(Backend(kind, name, works, ENABLES.get((kind, name), ""), details, optional))
    return found


def try_stages(remembered: Mapping[str, StageSpec]) -> list[Trial]:
    """Runs detection, landmarks and masks on two portraits and a blank image.

    Raises:
        UsageError: a stage cannot be made.
    """
    stages = [make_stage(spec) for spec in with_defaults(remembered, TRIED)]
    images = {"blank": (np.full((256, 256, 3), 128, np.uint8), False)}
    with contextlib.suppress(ImportError, OSError):  # without the demo's packages, only the blank image
        images = {**{name: (image, True) for name, image in portraits().items()}, **images}
    trials = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (image, face) in images.items():
            _pass(stages, name, image, Path(folder))  # loads the models
            start = time.perf_counter()
            sample = _pass(stages, name, image, Path(folder))
            trials.append(judge(name, sample, face, 1000 * (time.perf_counter() - start)))
    return trials


def _pass(stages: list[Any], name: str, image: np.ndarray, workspace: Path) -> Sample:
    row = {"sample_id": f"doctor/{name}.png", "dataset": "doctor", "image": f"{name}.png"}
    sample = Sample(image=image, row=row)
    for stage in stages:
        if sample.ok:
            stage.run([sample], workspace)
    return sample


def judge(name: str, sample: Sample, face: bool, milliseconds: float) -> Trial:
    """Whether the stages found in a photo what is there: a face or none."""
    row = sample.row
    if not sample.ok:
        return Trial(name, face, not face, str(row["reason"]), milliseconds)
    points = np.asarray(row["landmarks"]).reshape(68, 2)
    height, width = sample.image.shape[:2]
    inside = bool(((points >= 0) & (points < (width, height))).all())
    result = f"{row['faces']} face, 68 landmarks, {100 * row['skin_fraction']:.0f} % of the face visible"
    return Trial(name, face, face and inside and row["skin_fraction"] > 0.5, result, milliseconds)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> str:
    if _version("torch") is None:
        return "no torch"
    import torch

    if not torch.cuda.is_available():
        return "no CUDA device"
    return f"CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}"
