"""Exports read by the real loaders of DECA, EMOCA and SMIRK, as the pages in docs/how-to say.

Each test needs a checkout of the official code, which may not be passed on, and names the environment
variable that says where it is.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.share.export.deca import export_deca
from pipelines.share.export.emoca import export_emoca
from pipelines.share.export.rows import Call
from pipelines.share.export.smirk import export_smirk, settings
from tests.pipelines.share.official_trees import affectnet, every_layout
from tests.pipelines.share.share_samples import small_dataset

DOCS = Path(__file__).resolve().parents[3] / "docs/how-to"
READER = Path(__file__).with_name("read_official.py")


def checkout_of(variable: str, part: str, packages: tuple[str, ...], to: Path) -> Path:
    """A copy of the official code that the variable names; without it or a package, the test is skipped."""
    given = os.environ.get(variable)
    if not given:
        pytest.skip(f"needs a checkout of the official code, named by the variable {variable}")
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the official code needs the packages {', '.join(missing)}")
    assert (Path(given) / part).exists(), f"{variable}={given}: there is no {part}"
    keep_code = shutil.ignore_patterns(".git", "*.npy", "*.jpg", "*.png", "*.gif", "*.mp4")
    return Path(shutil.copytree(given, to / "official", ignore=keep_code))


def blocks(page: str, title: str) -> list[str]:
    """The code blocks of a page with this title."""
    return re.findall(
        rf'^```\w+ title="{re.escape(title)}"\n(.*?)^```', (DOCS / page).read_text(), re.M | re.S
    )


def read_official(which: str, checkout: Path, *words: str) -> dict[str, Any]:
    line = [sys.executable, str(READER), which, str(checkout), *words]
    done = subprocess.run(line, cwd=checkout, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def run_blocks(page: str, title: str, checkout: Path, export: Path) -> None:
    for block in blocks(page, title):
        names = {**os.environ, "EXPORT": str(export)}
        subprocess.run(["bash", "-euc", block], cwd=checkout, env=names, check=True)


def deca_checkout(to: Path) -> Path:
    return checkout_of("DECA_OFFICIAL", "decalib/datasets/vggface.py", ("yacs", "skimage"), to)


def settings_file(folder: Path, name: str, **changes: str) -> Path:
    (text,) = blocks("official-deca.md", name)
    for old, new in changes.items():
        text = re.sub(rf"{old}: \[[^]]*\]", f"{old}: {new}", text)
    path = folder / name
    path.write_text(text)
    return path


def test_deca_reads_every_line_of_every_list_in_the_authors_folders(tmp_path: Path):
    checkout = deca_checkout(tmp_path)
    export_emoca(Call(every_layout(tmp_path), tmp_path / "for-deca", quiet=True))
    run_blocks("official-deca.md", "in the official checkout", checkout, tmp_path / "for-deca")
    trainer = (checkout / "decalib/trainer.py").read_text()
    assert "def evaluate(self)" in trainer
    assert "self.evaluate()" not in trainer
    assert "codedict['light']" in (checkout / "decalib/deca.py").read_text().split("ops = self.render(")[2]
    for name, size in (("pretrain.yml", 1), ("coarse.yml", 4), ("detail.yml", 3)):
        chosen = settings_file(tmp_path, name, training_data="[vggface2, ethnicity, vox2]")
        found = read_official("deca", checkout, str(chosen))
        counts = {key: value["count"] for key, value in found.items()}
        assert counts == {"vox2": 4, "vggface2": 6, "ethnicity": 8, "vggface2 val": 2}
        for shapes in found.values():
            assert shapes["image"] == [size, 3, 224, 224]
            assert shapes["landmark"] == [size, 68, 3]
            assert shapes["mask"] == [size, 224, 224]


def test_deca_reads_the_plain_folders_after_the_attributes_are_edited(tmp_path: Path):
    checkout = deca_checkout(tmp_path)
    vggface2, val, *_ = every_layout(tmp_path)
    export_deca(Call([vggface2, val], tmp_path / "for-deca", quiet=True))
    run_blocks("official-deca.md", "in the official checkout, by hand", checkout, tmp_path / "for-deca")
    found = read_official("deca", checkout, str(settings_file(tmp_path, "coarse.yml")))
    assert {key: value["count"] for key, value in found.items()} == {"vggface2": 4, "vggface2 val": 2}


def test_emoca_reads_every_line_of_every_list(tmp_path: Path):
    packages = ("omegaconf", "pytorch_lightning", "skimage")
    checkout = checkout_of("EMOCA_OFFICIAL", "gdl/datasets/DecaDataModule.py", packages, tmp_path)
    export_emoca(Call(every_layout(tmp_path), tmp_path / "for-emoca", quiet=True))
    (text,) = blocks("emoca.md", "data configuration")
    (tmp_path / "data.yaml").write_text(text.replace("/full/path/of/for-emoca", str(tmp_path / "for-emoca")))
    names = "vggface2,vggface2hq,ethnicity,vox2"
    found = read_official("emoca", checkout, str(tmp_path / "data.yaml"), names)
    counts = {key: value["count"] for key, value in found.items()}
    assert counts == {"vggface2": 6, "vggface2hq": 4, "ethnicity": 8, "vox2": 4}
    for shapes in found.values():
        assert shapes["image"] == [3, 3, 224, 224]
        assert shapes["landmark"] == [3, 68, 2]


def test_emoca_reads_every_photo_of_affectnet(tmp_path: Path):
    packages = ("pytorch_lightning", "skimage", "imgaug", "skvideo", "compress_pickle", "hickle", "sklearn")
    checkout = checkout_of("EMOCA_OFFICIAL", "gdl/datasets/AffectNetDataModule.py", packages, tmp_path)
    export_emoca(Call(affectnet(tmp_path), tmp_path / "for-emoca", quiet=True))
    found = read_official("emoca_affectnet", checkout, str(tmp_path / "for-emoca/affectnet"))
    for sides in found.values():
        counts = {name: sides[name]["count"] for name in ("training", "validation", "test")}
        assert counts == {"training": 14, "validation": 2, "test": 2}  # four photos lack labels
        assert len(sides["labels"]) == 14
        assert sides["labels"]["15.png"] == [6, pytest.approx(0.6), pytest.approx(-0.6)]
        for name in counts:
            assert sides[name]["image"] == [3, 224, 224]
            assert sides[name]["landmark"] == [68, 2]
            assert sides[name]["mask"] == [224, 224]


def test_smirk_reads_every_photo_and_makes_batches(tmp_path: Path):
    packages = ("omegaconf", "albumentations", "sklearn", "skimage")
    checkout = checkout_of("SMIRK_OFFICIAL", "datasets/celeba_dataset.py", packages, tmp_path)
    export_smirk(Call([small_dataset(tmp_path)], tmp_path / "for-smirk", quiet=True))
    shutil.copytree(tmp_path / "for-smirk/checkout", checkout, dirs_exist_ok=True)
    found = read_official("smirk", checkout, *settings(tmp_path / "for-smirk"))
    assert found["celeba"] == {
        **{"count": 2, "img": [2, 3, 224, 224], "landmarks_fan": [2, 68, 2]},
        **{"landmarks_mp": [2, 105, 2], "img_mica": [2, 3, 112, 112]},
    }
    assert (found["batches"], found["validation"]) == (2, 0)
