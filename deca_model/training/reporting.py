"""What a run reports: records, held-out figures, pictures, the loss curve."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from deca_model.data.faces import Faces
from deca_model.data.loading import FaceBatch
from deca_model.files.png import write_png
from deca_model.settings.groups import TrainingConfig
from deca_model.training.face_grid import face_grid
from deca_model.training.headline import MEANINGS, headline
from deca_model.training.listener import Progress
from deca_model.training.loss_plot import write_loss_plot
from deca_model.training.records import RunLog, read_metrics
from deca_model.training.stages.registry import Stage
from deca_model.training.validation import HeldOut, evaluating, predict, stage_loss, validate


class RunReport:
    """Writes the files of one stage's run folder; as a context manager it closes them.

    Args:
        config: the run's settings.
        stage: the stage's name.
        folder: the run folder.
        step: the step from which the run continues.
        held_out: faces for figures and pictures; None: no figures, and pictures of training faces.
        progress: receives every step and the figures.
        faces: photos in a step, of all processes together.
    """

    def __init__(
        self,
        config: TrainingConfig,
        stage: str,
        folder: Path,
        step: int,
        held_out: Faces | None,
        progress: Progress,
        faces: int,
    ) -> None:
        self.settings, self.stage, self.folder, self.progress = config.log, stage, folder, progress
        settings = config.stage_settings(stage)
        self.weights, self.patience = config.loss, settings.patience
        self._faces = faces
        self.held_out = None
        if held_out is not None:
            data, most = config.data, self.settings.validation_faces
            self.held_out = HeldOut(held_out, data.size, most, data.workers, patience=data.timeout)
        self.log = RunLog(folder, step)
        checks = [each["step"] for each in read_metrics(self.log.path) if each["kind"] == "validation"]
        self._figures_at = max(checks, default=0)
        if self.held_out is not None and not checks:
            self.log.explain(MEANINGS)
        self._begin_interval()

    def __enter__(self) -> RunReport:
        return self

    def __exit__(self, *_: object) -> None:
        self.plot()
        self.log.close()

    def batch_ready(self) -> None:
        """A batch has arrived from the loader: the time since the last step was waiting."""
        self._waited += time.perf_counter() - self._stepped

    def stepped(self) -> None:
        """A step was made; its values may come later."""
        self._stepped = time.perf_counter()
        self._images += self._faces

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Record a step."""
        self._stepped = time.perf_counter()
        passed = max(self._stepped - self._since, 1e-9)
        self.progress.step(step, values, self._images / passed)
        if step % self.settings.every == 0:
            speed = {"images_per_second": self._images / passed, "waiting_share": self._waited / passed}
            self.log.write("train", step, {**values, "faces_per_step": self._faces, **speed})
            self._begin_interval()

    def wants_figures(self, step: int, batches: int, total: int) -> bool:
        """Whether held-out figures are due: at the end of the run, or by the settings.

        Args:
            step: number of steps made.
            batches: number of batches in an epoch.
            total: number of steps of the run.
        """
        if self.held_out is None:
            return False
        every = self.settings.validation_every
        if step == total or (every is not None and step % every == 0):
            return True
        parts = [place * self.settings.validations_per_epoch // batches for place in (step, step - 1)]
        return parts[0] > parts[1] and step - self._figures_at >= self.settings.validation_gap

    def figures(
        self, step: int, stage: Stage, device: torch.device, stop: Callable[[], bool] = lambda: False
    ) -> dict[str, float]:
        """Measure the held-out faces and record the figures; with patience, also the stage's ``loss``.

        Raises:
            Stopped: ``stop`` returned true; nothing was recorded.
        """
        assert self.held_out is not None
        loss = None if self.patience is None else partial(stage_loss, stage, self.weights)
        found = validate(stage.model, self.held_out, device, self.stage != "pretrain", loss, stop)
        self._figures_at = step
        self.log.write("validation", step, found)
        self.progress.note(f"step {step}: {headline(found)}")
        self._begin_interval()
        return found

    def wants_pictures(self, step: int, total: int) -> bool:
        """Whether pictures are due."""
        return step % self.settings.pictures_every == 0 or step in (1, total)

    def pictures(self, step: int, stage: Stage, batch: FaceBatch | None, device: torch.device) -> None:
        """Write the face grid, of held-out faces if there are any, else of the batch; and the loss curve."""
        if self.held_out is not None:
            batch = self.held_out.sample(self.settings.picture_faces).to(device)
        else:
            assert batch is not None
            batch = batch.first(self.settings.picture_faces)
        with evaluating(stage.model):
            textured = self.stage != "pretrain"
            grid = face_grid(stage.model, batch, predict(stage.model, batch), textured)
        write_png(self.folder / "pictures" / f"step-{step:08d}.png", grid)
        self.log.picture("faces", step, grid)
        self.plot()
        self._begin_interval()

    def plot(self) -> None:
        """Draw ``loss.png`` from the records, where matplotlib is installed."""
        records = read_metrics(self.log.path)
        train = [record for record in records if record["kind"] == "train"]
        names = [name for name in train[-1] if name not in _NO_CURVE] if train else []
        series = {
            name: ([r["step"] for r in train if name in r], [r[name] for r in train if name in r])
            for name in names
        }
        checks = [record for record in records if record["kind"] == "validation"]
        if checks:
            series["held-out landmark"] = (
                [r["step"] for r in checks],
                [r["landmark_loss"] for r in checks],
            )
        write_loss_plot(self.folder / "loss.png", series, f"{self.stage}: losses")

    def _begin_interval(self) -> None:
        """Restart measuring the speed, which excludes the time for figures and pictures."""
        self._since = self._stepped = time.perf_counter()
        self._images, self._waited = 0, 0.0


_NO_CURVE = {
    "kind", "step", "epoch", "learning_rate", "faces_per_step", "images_per_second", "waiting_share",
    "gradient_norm", "total",
}  # fmt: skip
