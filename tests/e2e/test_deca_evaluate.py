"""`deca evaluate` on a model that `deca train` made, and on data in the benchmarks' own layouts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from deca_model.data.faces import open_table
from deca_model.evaluation.emotion_labels import encode_labelled
from deca_model.heads import load_head
from deca_model.training.headline import headline
from deca_model.training.validation import HeldOut
from deca_model.use.open_model import open_model
from tests.e2e.conftest import DRIVER, PERSON, Call, put


def test_evaluate_landmarks_agrees_with_the_training_run(trained: Path, call: Call):
    done = call("evaluate landmarks --manifest val.parquet --model runs/001 --faces 2 --json")
    figures = json.loads(done.out)
    records = (trained / "runs/001/detail/metrics.jsonl").read_text().splitlines()
    last = [each for each in map(json.loads, records) if each["kind"] == "validation"][-1]
    assert figures["faces"] == 2
    assert figures["landmark_error"] == pytest.approx(last["landmark_error"], rel=1e-4)
    done = call("evaluate landmarks --manifest val.parquet --faces 2 --rendered")
    again = call("evaluate landmarks --manifest val.parquet --faces 2 --rendered --json")
    assert done.out.splitlines()[0] == headline(json.loads(again.out))
    assert f"{figures['landmark_error']:.4g}" in done.out
    assert "displacement of the details, mm" in done.out


def test_evaluate_emotion(trained: Path, call: Call, tmp_path: Path):
    none = call("evaluate emotion --manifest val.parquet")
    assert none.code == 2
    assert "no face has valence, arousal and an expression of 0 to 7" in none.err
    for side in ("train", "val"):
        label(trained / f"{side}.parquet", trained / f"labelled-{side}.parquet")
    line = "evaluate emotion --manifest labelled-val.parquet --fit labelled-train.parquet --epochs 2 --json"
    done, again = call(line), call(line + " --quiet")
    first, second = json.loads(done.out), json.loads(again.out)
    assert first == second
    assert again.err == ""
    count = len(pq.read_table(trained / "labelled-train.parquet", filters=[("status", "==", "ok")]))
    assert f"an MLP of 4 x 2048 learns from {count} faces on cpu, at most 2 epochs" in done.err
    assert first["training"]["learnt"] + first["training"]["held_out"] == count
    assert first["training"]["epochs"] == 2
    assert first["figures"]["faces"] >= 10
    assert np.isfinite(first["figures"]["valence_rmse"])
    assert first["published"]["EMOCA"]["valence_pcc"] == 0.78
    table = pq.read_table(trained / "labelled-val.parquet").to_pandas()
    table[["sample_id", "valence", "arousal", "expression"]].to_csv(tmp_path / "exact.csv", index=False)
    done = call(f"evaluate emotion --manifest labelled-val.parquet --predictions {tmp_path / 'exact.csv'}")
    rows = {line[:20].strip(): line[20:].split() for line in done.out.splitlines()}
    assert rows["exact"] == ["1.00", "1.00", "0.00", "1.00", "1.00", "1.00", "0.00", "1.00", "1.00"]
    assert rows["DECA with details"][0] == "0.70"
    table.drop(columns="valence").to_csv(tmp_path / "lacking.csv", index=False)
    done = call(f"evaluate emotion --manifest labelled-val.parquet --predictions {tmp_path / 'lacking.csv'}")
    assert done.code == 2
    assert "it lacks the columns valence" in done.err


def test_the_codes_for_emotion_are_shape_expression_jaw_and_details(trained: Path):
    path = trained / "codes-val.parquet"
    label(trained / "val.parquet", path)
    model, size = open_model(trained / "runs/001", "cpu")
    found = encode_labelled(model, size, path, {}, details=True)
    table = open_table([path])
    batch = next(HeldOut(table, size, len(table)).batches()).faces()
    with torch.no_grad():
        codes, detail = model.encode(batch), model.encode_detail(batch)
    expected = torch.cat([codes.shape, codes.expression, codes.pose[:, 3:], detail], dim=1).numpy()
    assert found.features.shape == (len(table), 100 + 50 + 3 + 128)
    np.testing.assert_allclose(found.features[: len(expected)], expected, atol=1e-5)
    assert len(encode_labelled(model, size, path, {}, details=False).features[0]) == 153


def label(source: Path, target: Path) -> None:
    """A manifest with made-up labels, as if it came from AffectNet."""
    table = pq.read_table(source)
    rng = np.random.default_rng(0)
    for name in ("valence", "arousal"):
        column = pa.array(rng.uniform(-1, 1, len(table)), pa.float32())
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    classes = pa.array(rng.integers(0, 8, len(table)), pa.int32())
    table = table.set_column(
        table.column_names.index("expression"), table.schema.field("expression"), classes
    )
    pq.write_table(table, target)


def test_evaluate_now_on_its_own_layout(trained: Path, call: Call, tmp_path: Path):
    """The scan is the very head that an untrained model takes everybody for: mean shape, in another pose."""
    folder = tmp_path / "NoW"
    box = {"left": np.float64(60), "top": np.float64(60), "right": np.float64(160), "bottom": np.float64(160)}
    for number, photo in enumerate((PERSON, DRIVER)):
        name = f"SUBJECT/selfie/IMG_{number}.jpg"
        put(folder / "final_release_version/iphone_pictures" / name, (trained / photo).read_bytes())
        with open(folder / "imagepathsvalidation.txt", "a") as listing:
            listing.write(name + "\n")
        place = folder / f"final_release_version/detected_face/SUBJECT/selfie/IMG_{number}.npy"
        put(place, b"")
        np.save(place, np.array(box, dtype=object), allow_pickle=True)
    write_scan(folder)
    done = call(f"evaluate now --now {folder} --out {tmp_path / 'errors'}")
    assert done.code == 0, done.err
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line[:1].strip()}
    assert rows["all"] == rows["selfie"]
    assert rows["all"][3] == "2"
    assert rows["DECA,"][-3:] == ["1.09", "1.38", "1.18"]
    errors = np.load(tmp_path / "errors/now_errors.npz")
    assert sorted(errors) == ["SUBJECT/selfie/IMG_0", "SUBJECT/selfie/IMG_1"]
    everything = np.concatenate([errors[name] for name in errors])
    assert 0 < np.median(everything) < 0.5
    assert float(rows["all"][0]) == pytest.approx(np.median(everything), abs=0.006)
    (folder / "scans_lmks_onlypp/SUBJECT/scan.pp").write_text("<PickedPoints/>")
    done = call(f"evaluate now --now {folder}")
    assert done.code == 2
    assert "holds 0 points, not 7" in done.err
    (folder / "final_release_version/iphone_pictures/SUBJECT/selfie/IMG_0.jpg").write_bytes(b"no photo")
    done = call(f"evaluate now --now {folder}")
    assert done.code == 2
    assert "IMG_0.jpg: this photo cannot be read" in done.err
    (folder / "final_release_version/detected_face/SUBJECT/selfie/IMG_1.npy").unlink()
    done = call(f"evaluate now --now {folder}")
    assert done.code == 2
    assert "IMG_1.npy: this face box is missing" in done.err


def write_scan(folder: Path) -> None:
    head = load_head("open")
    output = head(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([[0.1, 0.4, 0, 0, 0, 0]]))
    vertices = output.vertices[0].numpy() * 1000 + [10, 20, 400]
    points = output.landmarks_3d[0, [36, 39, 42, 45, 33, 48, 54]].numpy() * 1000 + [10, 20, 400]
    front = np.unique(head.faces[head.face_region].numpy())[::4]
    scan = "".join(f"v {x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in vertices[front])
    put(folder / "scans/SUBJECT/scan.obj", scan.encode())
    lines = [f'<point x="{x}" y="{y}" z="{z}" active="1" name="p"/>' for x, y, z in points]
    text = f"<!DOCTYPE PickedPoints><PickedPoints>{''.join(lines)}</PickedPoints>"
    put(folder / "scans_lmks_onlypp/SUBJECT/scan.pp", text.encode())


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("evaluate landmarks --manifest nowhere.parquet", "there is no such manifest"),
        ("evaluate landmarks --manifest val.parquet --root x", "write it as NAME=FOLDER"),
        ("evaluate now --now empty", "there is no imagepathsvalidation.txt"),
        ("evaluate emotion --manifest val.parquet --fit val.parquet", "measured on other faces"),
    ],
)
def test_bad_calls_are_one_sentence(trained: Path, call: Call, line: str, sentence: str):
    (trained / "empty").mkdir(exist_ok=True)
    done = call(line)
    assert done.code == 2
    assert sentence in done.err
    assert "Traceback" not in done.err
