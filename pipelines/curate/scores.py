"""The scores of all rows at once, in as little memory as they need: what decisions are made from.

Text is turned into numbers while the shards are read, so that of a row only its sample_id stays text.
"""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deca_data.stages.quality import PICTURE_HASH
from pipelines.curate.long_hashes import picture_numbers
from pipelines.curate.recipe import RULES, SHIFT_BACK
from pipelines.terminal.progress_bar import Progress
from pipelines.threads import in_order
from pipelines.workspace.shard_tables import AHEAD, READERS, ShardFiles, shard_table

WORDS = {"content_hash": 2, "phash": 1}
"""Columns of hexadecimal digits, and how many uint64 numbers hold one."""

REPEATING = ("person", "status", "stage", "reason")

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
    for shard in in_order(_read, files, READERS, AHEAD):
        shards.append(shard)
        progress.advance(shard.table.num_rows)
    table = pa.concat_tables(
        [shard.table for shard in shards], promote_options="permissive"
    ).unify_dictionaries()
    persons, names = _persons(table.column("person").combine_chunks())
    frame = table.drop_columns(["identity", "person"]).to_pandas(
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
    identity = table.column("identity").cast(pa.string())
    person = pc.binary_join_element_wise(files.dataset, identity, "/")  # null where the identity is
    table = table.append_column("person", person)
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
    """(N,) int64 numbers that are equal where rows of ``words`` (N, K) are."""
    frame = pd.DataFrame(words)
    return frame.groupby(list(frame), sort=False).ngroup().to_numpy()


def _persons(column: pa.DictionaryArray) -> tuple[np.ndarray, list[str]]:
    """(N,) int64 number of each row's person, -1 for null; and the persons' names, sorted."""
    found = column.dictionary.to_pylist()
    names = sorted(found, key=lambda name: name.split("/", 1))
    numbers = {name: number for number, name in enumerate(names)}
    place = np.array([*(numbers[name] for name in found), -1])
    return place[column.indices.fill_null(len(found)).to_numpy()], names
