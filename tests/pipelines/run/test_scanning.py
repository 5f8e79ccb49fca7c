"""From a raw folder to shards (scanning), and what the workspace refuses (workspace)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from manifests.errors import UsageError
from pipelines.run.bring_up import Call, open_workspace
from pipelines.run.scanning import cut, resolve_dataset, scan
from pipelines.workspace.parts import read_footer, read_part
from pipelines.workspace.workspace import Workspace


def tree(root: Path, persons: int = 20, photos: int = 10) -> Path:
    for person in range(persons):
        for photo in range(photos):
            path = root / f"p{person:03d}/{photo:02d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes([person, photo]))
    return root


def scanned(root: Path, workspace: Workspace) -> list[str]:
    dataset, _ = resolve_dataset(root, source=None, name=None)
    scan(workspace, dataset, lambda count: None)
    keys = [shard.key for shard in workspace.shards(dataset.name) or []]
    parts = [workspace.scan_path(dataset.name, key) for key in keys]
    return [image for part in parts for image in read_part(part).column("image").to_pylist()]


def test_every_file_is_in_one_shard_in_path_order(tmp_path: Path):
    workspace = Workspace.open(tmp_path / "space")
    images = scanned(tree(tmp_path / "faces"), workspace)
    assert images == sorted(f"p{p:03d}/{n:02d}.jpg" for p in range(20) for n in range(10))
    shards = workspace.shards("faces") or []
    assert sum(shard.rows for shard in shards) == 200
    assert len(shards) > 1
    for shard in shards:
        part = workspace.scan_path("faces", shard.key)
        assert read_part(part).num_rows == shard.rows
        assert read_footer(part)["fingerprint"] == shard.key


def test_scan_knows_identity_and_sample_id(tmp_path: Path):
    workspace = Workspace.open(tmp_path / "space")
    scanned(tree(tmp_path / "faces", 2, 2), workspace)
    (shard,) = workspace.shards("faces") or []
    table = read_part(workspace.scan_path("faces", shard.key))
    assert table.column("identity").to_pylist() == ["p000", "p000", "p001", "p001"]
    assert table.column("sample_id").to_pylist()[0] == "faces/p000/00.jpg"
    assert table.column("status").to_pylist() == ["ok"] * 4


@pytest.mark.reliability("the dataset changed between two calls")
def test_a_new_photo_changes_one_shard_only(tmp_path: Path):
    workspace = Workspace.open(tmp_path / "space")
    root = tree(tmp_path / "faces", 60, 10)
    scanned(root, workspace)
    before = {shard.key for shard in workspace.shards("faces") or []}
    (root / "p030/05a.jpg").write_bytes(b"new")
    scanned(root, workspace)
    after = {shard.key for shard in workspace.shards("faces") or []}
    assert 1 <= len(after - before) <= 2
    assert len(before) >= 6


@pytest.mark.reliability("the dataset changed between two calls")
def test_the_same_folder_gives_the_same_shards_and_a_touched_file_does_not(tmp_path: Path):
    workspace = Workspace.open(tmp_path / "space")
    root = tree(tmp_path / "faces")
    scanned(root, workspace)
    first = workspace.shards("faces")
    scanned(root, workspace)
    assert workspace.shards("faces") == first
    os.utime(root / "p003/03.jpg", ns=(1, 1))
    scanned(root, workspace)
    assert workspace.shards("faces") != first


@pytest.mark.parametrize("size", [4, 16, 64])
def test_cut_keeps_all_rows_in_order_and_bounds_the_shards(size: int):
    rows = [{"image": f"{i:05d}.jpg"} for i in range(3000)]
    shards = list(cut(rows, size))
    assert [row for shard in shards for row in shard] == rows
    lengths = [len(shard) for shard in shards[:-1]]
    assert max(lengths) <= 2 * size
    assert min(lengths) >= size // 4
    assert size / 2 < sum(lengths) / len(lengths) < 2 * size


def test_bad_folders_are_one_sentence(tmp_path: Path):
    (tmp_path / "file.jpg").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="there is no such folder"):
        resolve_dataset(tmp_path / "none", source=None, name=None)
    with pytest.raises(UsageError, match="this is a file"):
        resolve_dataset(tmp_path / "file.jpg", source=None, name=None)
    with pytest.raises(UsageError, match="holds no photo"):
        resolve_dataset(tmp_path / "empty", source=None, name=None)
    with pytest.raises(UsageError, match="there is no dataset layout 'celeba'"):
        resolve_dataset(tmp_path, source="celeba", name=None)
    for name in ("a/b", "workspace", "..", ".x", "a\x1b[2Jb", "a\nb"):
        with pytest.raises(UsageError, match="one plain folder name"):
            resolve_dataset(tree(tmp_path / "faces", 1, 1), source=None, name=name)


def test_two_folders_cannot_share_a_name(tmp_path: Path):
    workspace = Workspace.open(tmp_path / "space")
    scanned(tree(tmp_path / "a/faces", 2, 2), workspace)
    with pytest.raises(UsageError, match="the name 'faces' already belongs to"):
        scanned(tree(tmp_path / "b/faces", 2, 2), workspace)


def test_two_folders_of_one_call_cannot_share_a_name(tmp_path: Path):
    roots = [tree(tmp_path / "a/faces", 2, 2), tree(tmp_path / "b/faces", 2, 2)]
    with pytest.raises(UsageError, match="give this folder in a separate call"):
        open_workspace(Call(tmp_path / "space", roots, quiet=True, say=lambda line: None))
    assert not Workspace.open(tmp_path / "space").datasets  # the error came before any scan


def test_the_workspace_must_be_a_writable_folder(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="this is a file"):
        Workspace.open(tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be written"):
        Workspace.open(Path("/proc/nowhere"))
    with pytest.raises(UsageError, match="there is no workspace yet"):
        Workspace.open(tmp_path / "none", create=False)
    (tmp_path / "space").mkdir()
    (tmp_path / "space/workspace.json").write_text('{"datasets": 3}')
    with pytest.raises(UsageError, match="damaged or from another version"):
        Workspace.open(tmp_path / "space")


def test_a_second_command_is_told_to_wait(tmp_path: Path):
    workspace = Workspace.open(tmp_path / "space")
    with workspace.locked():
        with pytest.raises(UsageError, match="another deca-data command"):
            with Workspace.open(tmp_path / "space").locked():
                pass
    with workspace.locked():
        pass
