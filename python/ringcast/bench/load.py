"""The native programs of the benchmarks: `python -m ringcast.bench.load` receives, `… limit` sends.

Both take commands as lines of JSON from standard input and answer each; `rig.py` is who sends them.
"""

from __future__ import annotations

import signal
import sys
from typing import Final

from .._core import BUILD_PROFILE, run_limit, run_load

__all__ = ["BUILD_PROFILE"]

_LIMIT: Final = "limit"


def main() -> None:
    """Run one of the programs until standard input ends."""
    # Ctrl-C is for the one who gave the commands, and who ends this as well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.argv[1:] == [_LIMIT]:
        run_limit()
    else:
        run_load()


if __name__ == "__main__":
    main()
