"""Two processes choose their run folder, ten times; started by test_processes.py.

Each time two forks of this process join as those of torchrun do, and both say which folder they were given.
At the end they are given a folder that holds another run, and both say what is wrong.
"""

import multiprocessing
import os
import socket
from pathlib import Path

import torch

from deca_model.training.listener import Silent
from deca_model.training.loop import _claimed
from deca_model.training.processes import processes
from manifests.errors import UsageError

FORK = multiprocessing.get_context("fork")


def claim(rank: int, port: int, out: Path | None, said) -> None:
    names = {"WORLD_SIZE": 2, "RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()}, MASTER_ADDR="127.0.0.1")
    inputs = {"settings": {}, "manifest": "m", "start_from": None}
    try:
        with processes(torch.device("cpu")) as group:
            with _claimed(group, out, False, inputs, Silent()) as claimed:
                assert (claimed.folder / "run.json").is_file()
                said.put((rank, str(claimed.folder)))
                group.wait()
    except UsageError as error:
        said.put((rank, str(error)))


def both(out: Path | None) -> list[str]:
    """What the two say, the first one's first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = FORK.Queue()
    started = [FORK.Process(target=claim, args=(rank, port, out, said)) for rank in (1, 0)]
    for each in started:
        each.start()
    found = sorted(said.get(timeout=60) for _ in started)
    for each in started:
        each.join()
    return [text for _, text in found]


if __name__ == "__main__":
    for _ in range(10):
        print(*both(None))
    saved = Path("other/checkpoints/step-00000001.pt")
    saved.parent.mkdir(parents=True)
    saved.touch()
    for text in both(Path("other")):
        print(text)
