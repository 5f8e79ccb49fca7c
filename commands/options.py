"""The options that several commands share, each defined once; an option of one command stands with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manifests.errors import UsageError

if TYPE_CHECKING:
    from pipelines.run.runner import Options
IMAGE_TIMEOUT = 120.0
"""As in `pipelines.run.runner`, which takes long to import."""

# Every command.
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

# Commands that work in a workspace.
WORKSPACE = Path("deca-workspace")
WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", envvar="DECA_WORKSPACE", help="Folder of all results.")
]
FoldersArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FOLDER]...", help="Raw folders; none: every dataset of the workspace."),
]
LayoutOption = Annotated[
    str | None, typer.Option("--dataset", help="The folder's layout, if the guess is wrong.")
]
NameOption = Annotated[str | None, typer.Option("--name", help="The dataset's name in the manifest.")]
IdentitiesOption = Annotated[
    str | None,
    typer.Option(
        "--identities",
        metavar="folder|LEVEL|PATTERN|FILE.csv|none",
        help="Who is in a photo: its folder, the folder at a level from 1, a pattern with one group, a list.",
    ),
]
FramesOption = Annotated[
    int | None, typer.Option("--frames-per-clip", min=1, help="Frames of a video, evenly spread (10).")
]
StepOption = Annotated[
    int | None, typer.Option("--frame-step", min=1, help="Use every N-th frame only.", metavar="N")
]
LinksOption = Annotated[
    bool | None,
    typer.Option("--follow-links/--no-follow-links", help="Follow links that lead out of the raw folder."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", "-j", min=1, help="Processes (default: one a core, or a GPU)."),
]
SchedulerOption = Annotated[str | None, typer.Option(help="A running Dask cluster, such as tcp://host:8786.")]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Do photos that failed again.")]
MaxFailuresOption = Annotated[
    float, typer.Option("--max-failures", min=0, max=1, help="Stop when more than this share failed.")
]
TimeoutOption = Annotated[
    float, typer.Option("--image-timeout", min=0, help="Seconds a photo may take in a stage; 0: no limit.")
]

# Commands that read manifests.
ManifestsOption = Annotated[
    list[Path] | None,
    typer.Option("--manifest", "-m", help="A manifest; repeatable (default: train.parquet and val.parquet)."),
]
MeasuredOption = Annotated[Path, typer.Option("--manifest", help="The faces to measure on.")]
RootOption = Annotated[
    list[str] | None,
    typer.Option("--root", metavar="NAME=FOLDER", help="A dataset's folder, if it moved; repeatable."),
]

# Commands that use a model.
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", help="Run folder, checkpoint or DECA's model.tar (default: newest ./runs/NNN)."),
]
HeadPathOption = Annotated[
    Path | None, typer.Option("--head-path", help="The head's file, if it moved; FLAME's for model.tar.")
]
DetailsOption = Annotated[
    bool | None, typer.Option("--details/--no-details", help="Default: if the model has details.")
]
LandmarkerOption = Annotated[str, typer.Option("--backend", help="Landmarks: mediapipe or face-alignment.")]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="Weight file of the backend, or its folder.")
]
FormatsOption = Annotated[str, typer.Option(help="Mesh formats: some of glb,obj,ply.")]
SmoothOption = Annotated[
    bool, typer.Option("--smooth/--no-smooth", help="Average a video's codes over neighbouring frames.")
]
RasterizerOption = Annotated[
    str | None, typer.Option(help="builtin or pytorch3d (default: that of the model's training, or builtin).")
]
FORMATS = "glb,obj"
PHOTOS = "Photos, videos, or folders of photos."
AllFacesOption = Annotated[
    bool, typer.Option("--all-faces", help="Every face of a photo, not only the main one.")
]
ObjOption = Annotated[bool, typer.Option("--save-obj", help="The same as obj in --formats.")]
DepthOption = Annotated[bool, typer.Option("--save-depth", help="Write NAME_depth.png too.")]
FramesOfVideoOption = Annotated[
    int | None,
    typer.Option("--frames", min=1, help="At most so many frames of a video, evenly spread."),
]
_DEVICE = typer.Option("--device", help="auto, cpu, cuda or cuda:N.")
DeviceOption = Annotated[str, _DEVICE]
TrainDeviceOption = Annotated[str | None, _DEVICE]


def file_in(out: Path, name: str) -> Path:
    """Returns the file that ``--out`` names; where it names a folder, the file ``name`` in it."""
    return out / name if out.is_dir() or not out.suffix else out


def named_roots(given: list[str] | None) -> dict[str, Path]:
    """Returns the folders of `RootOption` by name.

    Raises:
        UsageError: a root is not written as NAME=FOLDER.
    """
    pairs = [text.partition("=") for text in given or []]
    for name, equals, folder in pairs:
        if not (name and equals and folder):
            raise UsageError(f"--root {name}{equals}{folder}: write it as NAME=FOLDER.")
    return {name: Path(folder) for name, _, folder in pairs}


def clip_options(
    frames_per_clip: int | None, frame_step: int | None, follow_links: bool | None = None
) -> dict[str, int]:
    """Returns the options of a scan that the user gave."""
    given = {"frames_per_clip": frames_per_clip, "frame_step": frame_step, "follow_links": follow_links}
    return {name: value for name, value in given.items() if value is not None}


def run_options(
    workers: int | None,
    scheduler: str | None,
    retry_failed: bool,
    max_failures: float,
    image_timeout: float = IMAGE_TIMEOUT,
) -> Options:
    """Returns the options of runs of stages."""
    from pipelines.run.runner import Options

    return Options(workers, scheduler, retry_failed, max_failures, image_timeout or None)


def add_version(app: typer.Typer) -> None:
    """Adds `--version`; the app's own help stays."""

    @app.callback(help=app.info.help)
    def options(
        version: Annotated[
            bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        """Options before a command."""


def _show_version(context: typer.Context, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"{context.command.name} {version('deca-data')}")
        raise typer.Exit
