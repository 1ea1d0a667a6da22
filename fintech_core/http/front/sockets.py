"""The deadline of a connection whose peer has stopped reading, kept by the system.

The application has long finished with such a connection, and the server would keep it for ever: what it has been given
to send stays unsent. TCP_USER_TIMEOUT ends it, and accepted connections inherit it from the socket that listens.
"""

import os
import socket
import stat
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")
_INTERNET = {socket.AF_INET, socket.AF_INET6}


def end_stalled_connections(seconds: int) -> int:
    """For every socket of this process that listens; how many those are. Linux only."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None or not _DESCRIPTORS.is_dir():
        return 0
    return sum(_set(int(each.name), option, seconds * 1000) for each in list(_DESCRIPTORS.iterdir()))


def _set(descriptor: int, option: int, value: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        with socket.socket(fileno=os.dup(descriptor)) as found:
            if found.family not in _INTERNET or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return False
            found.setsockopt(socket.IPPROTO_TCP, option, value)
            return True
    except OSError:  # closed meanwhile
        return False
