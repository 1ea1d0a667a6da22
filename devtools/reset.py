"""`make reset`: deletes what `make run` made on this machine, the copies and data outside the checkout included."""

from __future__ import annotations

import shutil
import signal
import sys

from devtools import places, processes
from devtools.run import only_one


def main() -> int:
    try:
        with only_one():
            processes.stop(processes.marked(str(places.CHECKOUT)), signal.SIGKILL, 5)
            for directory in places.recorded_directories():
                processes.stop_servers(directory)
                shutil.rmtree(directory, ignore_errors=True)
            shutil.rmtree(places.LOCAL)
    except places.Refusal as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    sys.stdout.write("The local data is gone; `make run` starts anew.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
