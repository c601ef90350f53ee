"""A lock that says that a file is in use, for as long as the process lives that holds it.

What is in the file is the business of whoever holds the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

__all__ = ["FileLock"]

_SUFFIX = "-lock"


class FileLock:
    """Take the lock of the file at `path`: on a file beside it, which stays there.

    The system lets go of it when the process ends, however it ends. Raises `BlockingIOError` when another
    holder, in this process or in another one, has it, and `OSError` when the directory cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        # By its real name: two links to one file are one file.
        real = os.path.realpath(path)
        try:
            self._descriptor = os.open(real + _SUFFIX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise type(error)(f"cannot open the store {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if isinstance(error, BlockingIOError):
                raise BlockingIOError(f"the store {path} is in use by another server") from None
            raise

    def release(self) -> None:
        """Let others have it. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor != -1:
            # Closing releases it. Never removed: whoever waits for the name would lock a file that is gone.
            with contextlib.suppress(OSError):
                os.close(descriptor)
