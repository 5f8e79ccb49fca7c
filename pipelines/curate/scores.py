"""The scores of all rows at once, in as little memory as they need: what decisions are made from.

Text is turned into numbers while the shards are read, so that of a row only its sample_id stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from deca_data.stages.quality import PICTURE_HASH
from pipelines.curate.long_hashes import picture_numbers
from pipelines.curate.recipe import RULES, SHIFT_BACK
from pipelines.terminal.progress_bar import Progress
from pipelines.workspace.shard_tables import ShardFiles, ahead, shard_table

WORDS = {"content_hash": 2, "phash": 1}
"""Columns of hexadecimal digits, and how many uint64 numbers hold one."""

REPEATING = ("identity", "dataset", "status", "stage", "reason")

COLUMNS = (
    *("sample_id", "identity", "content_hash", "phash", PICTURE_HASH, "frame", "yaw", "sharpness"),
    *(rule.column for rule in RULES),
    *(SHIFT_BACK, "status", "stage", "reason"),
)


class _Shard(NamedTuple):
    """The scores of one shard; ``numbers`` are those of `WORDS` and of the picture's hash."""

    table: pa.Table
    numbers: dict[str, np.ndarray]
    absent: dict[str, np.ndarray]


def load_scores(files: list[ShardFiles], progress: Progress) -> tuple[pd.DataFrame, list[str]]:
    """Reads `COLUMNS` of every row.

    Args:
        files: all the shards, in the manifest's order.
        progress: advanced by rows.

    Returns:
        One row per row of the manifest, where `content_hash` is a number that equal files share, `phash` and
        `picture_hash` are uint64, and `person` is a number, -1 where unknown; and the persons' names.
    """
    shards: list[_Shard] = []
    for shard in ahead(_read, files):
        shards.append(shard)
        progress.advance(shard.table.num_rows)
    table = pa.concat_tables(
        [shard.table for shard in shards], promote_options="permissive"
    ).unify_dictionaries()
    persons, names = _persons(table)
    frame = table.drop_columns(["identity", "dataset"]).to_pandas(
        types_mapper={pa.string(): pd.ArrowDtype(pa.string())}.get
    )
    numbers = {
        name: np.concatenate([shard.numbers[name] for shard in shards]) for name in (*WORDS, PICTURE_HASH)
    }
    absent = {name: np.concatenate([shard.absent[name] for shard in shards]) for name in WORDS}
    frame["person"], frame[PICTURE_HASH] = persons, numbers[PICTURE_HASH]
    same = number_rows(numbers["content_hash"])
    frame["content_hash"] = pd.arrays.IntegerArray(same, absent["content_hash"])
    frame["phash"] = pd.arrays.IntegerArray(numbers["phash"].reshape(-1), absent["phash"])
    return frame, names


def _read(files: ShardFiles) -> _Shard:
    table = shard_table(files, tuple(dict.fromkeys(COLUMNS)))
    numbers = {PICTURE_HASH: picture_numbers(table.column(PICTURE_HASH))}
    absent = {}
    for name, words in WORDS.items():
        numbers[name], absent[name] = _hex_numbers(table.column(name), words)
    table = table.append_column("dataset", pa.array([files.dataset] * table.num_rows))
    return _Shard(_encoded(table.drop_columns(list(numbers))), numbers, absent)


def _encoded(table: pa.Table) -> pa.Table:
    for name in REPEATING:
        index = table.column_names.index(name)
        table = table.set_column(index, name, table.column(name).cast(pa.string()).dictionary_encode())
    return table


def _hex_numbers(column: pa.ChunkedArray, words: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, words) uint64 from hexadecimal digits, 16 a word; and (N,) bool, True where there are none."""
    text = column.cast(pa.string())
    empty = text.is_null().to_numpy()
    digits = "".join(text.fill_null("0" * 16 * words).to_pylist())
    values = np.frombuffer(bytes.fromhex(digits), ">u8").reshape(-1, words)
    return values.astype(np.uint64), empty


def number_rows(words: np.ndarray) -> np.ndarray:
    """(N,) int64 numbers that are equal where rows of ``words`` (N, K) are.

    Only rows whose first word occurs again are compared in full.
    """
    order = np.argsort(words[:, 0], kind="stable")  # quicker than the default
    same = words[order[1:], 0] == words[order[:-1], 0]
    twice = np.zeros(len(words), dtype=bool)
    twice[1:] = same
    twice[:-1] |= same
    rows = order[twice]
    rows = rows[np.lexsort(tuple(words[rows].T))]
    fresh = np.ones(len(rows), dtype=bool)
    fresh[1:] = np.any(words[rows[1:]] != words[rows[:-1]], axis=1)
    numbers = np.arange(len(words))
    numbers[rows] = rows[fresh][np.cumsum(fresh) - 1]
    return numbers


def _persons(table: pa.Table) -> tuple[np.ndarray, list[str]]:
    """The person of each row, numbered by dataset and name, and `dataset/name` of each number."""
    datasets, dataset_names = _ranks(table.column("dataset"))
    identities, identity_names = _ranks(table.column("identity"))
    width = len(identity_names) + 1
    code = np.where(identities >= 0, datasets * width + identities, -1)
    persons, unique = pd.factorize(code, sort=True)
    names = [
        f"{dataset_names[value // width]}/{identity_names[value % width]}" for value in unique[unique >= 0]
    ]
    return persons - int((unique < 0).any()), names


def _ranks(column: pa.ChunkedArray) -> tuple[np.ndarray, Sequence[str]]:
    """(N,) int64 place of each value among the sorted names, -1 for null; and the names."""
    whole = column.combine_chunks()
    names = whole.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.full(len(names) + 1, -1)
    place[order] = np.arange(len(names))
    return place[whole.indices.fill_null(len(names)).to_numpy()], [names[number] for number in order]
