"""Reads damaged copies of model files: ``python mutated_pickles.py COUNT FILE...``; prints what came of them.

Each copy must give arrays or a UsageError. A crash ends this process; any other exception, too.
"""

from __future__ import annotations

import json
import pickletools
import resource
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from deca_model.files.restricted_pickle import as_array, load_restricted
from manifests.errors import UsageError

OPCODES = np.frombuffer(b"".join(opcode.code.encode("latin1") for opcode in pickletools.opcodes), np.uint8)
MEMORY = 8 * 2**30


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A copy with one to four faults: other bytes, opcodes, cuts, moved or repeated parts."""
    copy = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.integers(len(copy)))
        length = int(rng.integers(1, 40))
        other = int(rng.integers(len(copy)))
        kind = rng.integers(7)
        if kind == 0:
            copy[place] = rng.integers(256)
        elif kind == 1:
            copy[place] = rng.choice(OPCODES)
        elif kind == 2:
            copy[place:place] = rng.choice(OPCODES, length % 4 + 1).tobytes()
        elif kind == 3:
            del copy[place : place + length]
        elif kind == 4:
            copy[place:place] = copy[other : other + length]
        elif kind == 5:
            copy[place : place + length] = copy[other : other + length]
        else:
            copy[place : place + 4] = rng.choice([0, 1, 127, 128, 255], 4).astype(np.uint8).tobytes()
        copy = copy or bytearray(b".")
    return bytes(copy)


def outcome(path: Path) -> str:
    """Whether a file gives arrays, or is refused as a whole or in part."""
    try:
        content = load_restricted(path)
    except UsageError as error:
        return "refused" if str(error).isprintable() else "not one sentence"
    if not isinstance(content, dict):
        return "no dictionary"
    try:
        arrays = [as_array(value, str(key), path) for key, value in content.items()]
    except UsageError:
        return "in part"
    assert all(array.dtype.kind in "biuf" for array in arrays)
    sum(float(array.sum(dtype=np.float64)) for array in arrays)  # every number is read
    return "read"


def main() -> None:
    """Damage the files in turn."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    count, *files = sys.argv[1:]
    originals = [Path(file).read_bytes() for file in files]
    path, found = Path(files[0]).with_name("mutated.pkl"), Counter[str]()
    for seed in range(int(count)):
        path.write_bytes(mutated(originals[seed % len(originals)], np.random.default_rng(seed)))
        found[outcome(path)] += 1
    print(json.dumps(found))


if __name__ == "__main__":
    main()
