"""The deadline of a connection whose peer has stopped reading, kept by the system.

The application has long finished with such a connection, and the server would keep it for ever: what it has been given
to send stays unsent. TCP_USER_TIMEOUT ends it, and accepted connections inherit it from the socket that listens.
"""

import os
import socket
import stat


def end_stalled_connections(seconds: int) -> int:
    """For every socket of this process that listens; how many those are. None where the system has no such option."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    descriptors = "/proc/self/fd"
    if option is None or not os.path.isdir(descriptors):
        return 0
    found = 0
    for name in os.listdir(descriptors):
        found += _set(int(name), option, seconds * 1000)
    return found


def _set(descriptor: int, option: int, value: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        with socket.socket(fileno=os.dup(descriptor)) as found:
            listens = found.family in {socket.AF_INET, socket.AF_INET6} and bool(
                found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            )
            if listens:
                found.setsockopt(socket.IPPROTO_TCP, option, value)
            return listens
    except OSError:  # closed meanwhile
        return False
