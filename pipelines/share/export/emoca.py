"""One folder that EMOCA's DecaDataModule reads as `data.path`, and official DECA in place of its own root.

Both loaders look for these places below one folder:

- VGGFace2: `train/`, `train_annotated_torch7/` and `texture_in_the_wild_code/VGGFace2_seg/...`;
- BUPT-Balancedface: `race_per_7000/`, `race_per_7000_annotated_torch7_new/` and
  `texture_in_the_wild_code/race7000_seg/...`;
- VoxCeleb2: `VoxCeleb/vox2/dev/images_cropped_full_height/`, `vox2_best_clips_annotated_torch7/` and
  `texture_in_the_wild_code/vox2_best_clips_cropped_frames_seg/...`;
- the lists (see `lists`) below `texture_in_the_wild_code/VGGFace2_cleaning_codes/`.

Photos of any other dataset are read as VGGFace2's: their stems begin with the dataset's name. AffectNet, from
which EMOCA's coarse stage learns, has a form of its own: see `emoca_affectnet`.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from manifests.errors import UsageError
from manifests.files import inside
from manifests.reading import Manifest
from manifests.streaming import open_stream
from pipelines.share.export.emoca_affectnet import SOURCE, write_affectnet
from pipelines.share.export.lists import (
    CLIP_LIST,
    CLIP_LIST_VAL,
    LARGE_LIST,
    RACE_LIST,
    RING_LIST,
    Groups,
    clip_list,
    ending_of,
    few_photos,
    ring_list,
    stem_of,
    write_list,
)
from pipelines.share.export.official import Place, Written, mark_as_ours, note, opened, write_photos
from pipelines.share.export.rows import Call, Exported

_LISTS = "texture_in_the_wild_code/VGGFace2_cleaning_codes"
RINGS = f"{_LISTS}/ringnetpp_training_lists/second_cleaning"
"""Folder of the lists of persons, below the export."""

_CROPS = "test_crop_size_400_batch"


class _Layout(NamedTuple):
    images: str
    landmarks: str
    masks: str


LAYOUTS = {
    "vggface2": _Layout("train", "train_annotated_torch7", f"texture_in_the_wild_code/VGGFace2_seg/{_CROPS}"),
    "bupt": _Layout(
        "race_per_7000",
        "race_per_7000_annotated_torch7_new",
        f"texture_in_the_wild_code/race7000_seg/{_CROPS}",
    ),
    "voxceleb2": _Layout(
        "VoxCeleb/vox2/dev/images_cropped_full_height",
        "vox2_best_clips_annotated_torch7",
        f"texture_in_the_wild_code/vox2_best_clips_cropped_frames_seg/{_CROPS}",
    ),
}

_README = """Written by `deca-data export --format emoca`.

EMOCA, DecaDataModule: in the data configuration, set
  path: {folder}
  training_datasets: [vggface2, vggface2hq, vox2, ethnicity]   (those whose lists are here)
  datasets: []
  validation_datasets: []
  testing_datasets: []

EMOCA, AffectNet modules (where affectnet/ is here), set
  input_dir: {folder}/affectnet
  output_dir: {folder}/affectnet
  processed_subfolder: processed

Official DECA, in its checkout:
  sed -i 's#/ps/scratch/face2d3d#{folder}#g' decalib/datasets/*.py
and set dataset.eval_data to ['vggface2']. The documentation of deca-data, "Train official DECA on your
photos", says what else stops its training.

Both loaders take a photo without a mask file as skin all over, and skip the first frame of each VoxCeleb2
clip.
"""


def export_emoca(call: Call) -> Exported:
    """Writes folders and lists.

    Raises:
        UsageError: a manifest cannot be used or names a path outside ``out``, ``out`` holds other files, no
            person is known, or two datasets have the layout of VGGFace2, BUPT-Balancedface or VoxCeleb2.
        WorkFailed: a kept photo cannot be read any more.
    """
    _one_of_each_layout(call)
    mark_as_ours(call.out, _README.format(folder=call.out.resolve()))
    done = Exported()
    with opened(call) as (streams, shown):
        written = write_photos(call, streams, shown, partial(_place, call.out), apart=SOURCE)
        write_affectnet(call, streams, shown, done)
    read = _write_lists(call, written, done)
    note(done, written.counts, "emoca")
    if read:
        done.notes.append(
            f"for EMOCA: data.path={call.out.resolve()} data.training_datasets=[{','.join(read)}]"
        )
    return done


def _one_of_each_layout(call: Call) -> None:
    named: dict[str, set[str]] = defaultdict(set)
    for path in call.manifests:
        for dataset, source in open_stream(path, call.roots).head.info.get("sources", {}).items():
            named[source].add(dataset)
    for source in LAYOUTS:
        if len(named[source]) > 1:
            raise UsageError(
                f"--format emoca: {' and '.join(sorted(named[source]))} both have the layout of {source}, of "
                "which a loader reads one; build a manifest of each and export it to a folder of its own."
            )


def _place(out: Path, manifest: Manifest, source: str, row: dict[str, Any]) -> Place | None:
    stem = stem_of(source, row["image"])
    if stem is None:
        return None
    if source not in LAYOUTS:
        inside(out, row["dataset"], manifest.path)
        stem = f"{row['dataset']}/{stem}"
    layout = LAYOUTS.get(source, LAYOUTS["vggface2"])
    return Place(out / layout.images, out / layout.landmarks, out / layout.masks, ending_of(source), stem)


def _write_lists(call: Call, written: Written, done: Exported) -> list[str]:
    """Writes the lists; returns the names by which EMOCA's `training_datasets` asks for those written."""
    rings = call.out / RINGS
    faces, large = _by_split(written.groups), _by_split(written.large)
    read: dict[str, None] = {}
    for split, people in sorted(faces.items()):
        done.notes += few_photos(f"vggface2, {split}", people)
        name = RING_LIST.format(dataset="vggface2", split=split)
        write_list(inside(rings, name, call.manifests[0]), ring_list(people), done)
        read["vggface2"] = None
        if large[split]:
            name = LARGE_LIST.format(dataset="vggface2", split=split)
            write_list(inside(rings, name, call.manifests[0]), ring_list(large[split]), done)
            read["vggface2hq"] = None
    for (source, _, split), people in sorted(written.groups.items()):
        if source == "bupt":
            both = {**_named_as_vggface2(faces[split]), **people}
            done.notes += few_photos(f"bupt, {split}", both)
            name = RACE_LIST.format(split=split)
            write_list(inside(rings, name, call.manifests[0]), ring_list(both), done)
            read["ethnicity"] = None
        elif source == "voxceleb2":
            name = CLIP_LIST if split == "train" else CLIP_LIST_VAL
            write_list(call.out / _LISTS / name, clip_list(people), done)
            read["vox2"] = None
    return list(read)


def _by_split(groups: Groups) -> dict[str, dict[str, list[str]]]:
    """Returns stems by split, then person, of the datasets that are read as VGGFace2."""
    merged: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for (source, dataset, split), people in sorted(groups.items()):
        if source not in ("bupt", "voxceleb2"):
            merged[split] |= {f"{dataset}/{name}": stems for name, stems in people.items()}
    return merged


def _named_as_vggface2(people: dict[str, list[str]]) -> dict[str, list[str]]:
    """Returns the persons whose stems begin with n, by which the loader knows them for VGGFace2's."""
    return {name: stems for name, stems in people.items() if all(stem[0] == "n" for stem in stems)}
