"""What several processes need of the folder for temporary files."""

from __future__ import annotations

import os
import tempfile

from manifests.errors import UsageError

LONGEST = 75
"""Bytes of the folder's path: a socket's path has 107 at most, and the socket's own name takes 32."""


def check_socket_folder() -> None:
    """Makes sure that processes can meet at sockets in the folder for temporary files.

    Where its path is too long, some libraries raise an error in a thread of theirs, and wait for ever.

    Raises:
        UsageError: the path is too long.
    """
    folder = tempfile.gettempdir()
    length = len(os.fsencode(folder))
    if length > LONGEST:
        raise UsageError(
            f"TMPDIR={folder}: the path has {length} bytes, and the sockets between processes allow "
            f"{LONGEST}; set TMPDIR to a shorter path."
        )
