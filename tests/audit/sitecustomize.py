"""In a folder on PYTHONPATH: every Python process writes down which addresses it asks for, in the file that ASKED names.

An address is one line; those of sockets within this machine (AF_UNIX) are none.
"""

import os
import socket
import sys

_ASKED = os.open(os.environ["ASKED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def _note(event: str, arguments: tuple) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        address = arguments[0]
    elif event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"):
        if arguments[0].family == socket.AF_UNIX:
            return
        address = arguments[1]
    else:
        return
    os.write(_ASKED, f"{event} {address!r} by {sys.argv[:4]}\n".encode())


sys.addaudithook(_note)
