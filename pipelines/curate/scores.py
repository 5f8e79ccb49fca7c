"""Reads what decisions are made from: the scores of all rows, and the long hashes of a few.

Text becomes numbers while the shards are read, so that of each row only the sample_id stays text in memory.
"""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deca_data.stages.quality import LONG_HASHES, PICTURE_HASH
from pipelines.curate.recipe import RULES, SHIFT_BACK
from pipelines.terminal.progress_bar import Progress
from pipelines.threads import in_order
from pipelines.workspace.parts import read_part
from pipelines.workspace.shard_tables import AHEAD, READERS, ShardFiles, shard_table

CONTENT = ("content_high", "content_low")
"""The two halves of `content_hash`."""

HASH_WORDS = 8
"""uint64 numbers of a row's long hashes: four for the face, four for the picture."""

COLUMNS = (
    *("sample_id", "identity", "clip", "content_hash", "phash", PICTURE_HASH, "frame", "yaw", "sharpness"),
    *(rule.column for rule in RULES),
    *(SHIFT_BACK, "status", "stage", "reason"),
)


def load_scores(files: list[ShardFiles], progress: Progress) -> tuple[pd.DataFrame, list[str]]:
    """Reads `COLUMNS` of every row of all the shards, in the manifest's order.

    Returns:
        One row per row of the manifest, where `content_hash` is a number that equal files share, `phash` and
        `picture_hash` are uint64, `person` is a number, -1 where unknown, and `film` is a category: a name of
        the clip that no other clip has, null where there is none; and the persons' names.
    """
    shards: list[pa.Table] = []
    for shard in in_order(_read, files, READERS, AHEAD):
        shards.append(shard)
        progress.advance(shard.num_rows)
    table = pa.concat_tables(shards, promote_options="permissive").unify_dictionaries()
    persons, names = _persons(table.column("person").combine_chunks())
    types = {pa.string(): pd.ArrowDtype(pa.string()), pa.uint64(): pd.UInt64Dtype()}
    frame = table.drop_columns(["person"]).to_pandas(types_mapper=types.get)
    frame["person"] = persons
    words = [frame.pop(name) for name in CONTENT]
    numbers = number_rows(np.stack([each.to_numpy(np.uint64, na_value=0) for each in words], axis=1))
    frame["content_hash"] = pd.arrays.IntegerArray(numbers, words[0].isna().to_numpy())
    return frame, names


def long_hashes(files: list[ShardFiles], rows: np.ndarray) -> np.ndarray:
    """Reads the long hashes, (M, 8) uint64, of ``rows``, (M,) sorted numbers with a result of `quality`."""
    found = np.zeros((len(rows), HASH_WORDS), dtype=np.uint64)
    starts = np.cumsum([0, *(each.rows for each in files)])
    bounds = np.searchsorted(rows, starts)
    for each, start, low, high in zip(files, starts[:-1], bounds[:-1], bounds[1:], strict=True):
        if low < high:
            column = read_part(each.stages["quality"], [LONG_HASHES]).column(LONG_HASHES)
            data = b"".join(column.take(rows[low:high] - start).to_pylist())
            found[low:high] = np.frombuffer(data, dtype=">u8").reshape(-1, HASH_WORDS)
    return found


def _read(files: ShardFiles) -> pa.Table:
    table = shard_table(files, tuple(dict.fromkeys(COLUMNS)))
    found = dict(zip(table.column_names, table.columns, strict=True))
    identity = found.pop("identity").cast(pa.string())
    found["person"] = pc.binary_join_element_wise(files.dataset, identity, "/")  # null where the identity is
    found["film"] = _films(found["sample_id"], found.pop("clip"))
    for name in ("person", "film", "status", "stage", "reason"):
        found[name] = found[name].cast(pa.string()).dictionary_encode()
    pictures = found[PICTURE_HASH].cast(pa.binary(8)).fill_null(bytes(8))
    found[PICTURE_HASH] = pictures.combine_chunks().view(pa.uint64())
    (found["phash"],) = _hex_numbers(found["phash"], 1)
    found.update(zip(CONTENT, _hex_numbers(found.pop("content_hash"), 2), strict=True))
    return pa.table(found)


def _films(samples: pa.ChunkedArray, clips: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names the clip of each row by its place: the video's sample, or the folder of its frames.

    The column `clip` is unique only within a person, whom another choice of identities may change.
    """
    samples = samples.cast(pa.string())
    if clips.null_count == len(clips):
        return pa.nulls(len(clips), pa.string())
    videos = pc.replace_substring_regex(samples, r"#\d+$", "")
    folders = pc.replace_substring_regex(samples, r"/[^/]*$", "")
    films = pc.if_else(pc.equal(videos, samples), folders, videos)
    return pc.if_else(pc.is_valid(clips), films, None)


def _hex_numbers(column: pa.ChunkedArray, words: int) -> list[pa.Array]:
    """Reads a column of hexadecimal text as ``words`` uint64 numbers of 16 digits each."""
    text = column.cast(pa.string())
    digits = "".join(text.fill_null("0" * 16 * words).to_pylist())
    values = np.frombuffer(bytes.fromhex(digits), ">u8").reshape(-1, words).astype(np.uint64)
    return [pa.array(word, mask=text.is_null().to_numpy()) for word in values.T]


def number_rows(words: np.ndarray) -> np.ndarray:
    """Returns (N,) int64 numbers that are equal where the rows of ``words`` (N, K) are equal."""
    frame = pd.DataFrame(words)
    return frame.groupby(list(frame), sort=False).ngroup().to_numpy()


def _persons(column: pa.DictionaryArray) -> tuple[np.ndarray, list[str]]:
    """Returns (N,) int64 number of each row's person, -1 for null; and the persons' names, sorted."""
    found = column.dictionary.to_pylist()
    names = sorted(found, key=lambda name: name.split("/", 1))
    numbers = {name: number for number, name in enumerate(names)}
    place = np.array([*(numbers[name] for name in found), -1])
    return place[column.indices.fill_null(len(found)).to_numpy()], names
