"""The only way from the host into the cluster: a loopback port that leads to the API server.

    python3 -m deploy.local.forwarder NAMESPACE PREFERRED_PORT PORT_FILE

It listens in the host's network namespace, then moves into the control plane's: a socket
stays in the namespace that it was made in, so connections come in from the one and go out
in the other.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import sys
from pathlib import Path

from deploy.local.layout import API_PORT, CONTROL_PLANE_ADDRESS

_CLONE_NEWNET = 0x40000000
_CHUNK = 64 * 1024


def listen(preferred_port: int) -> socket.socket:
    """A listening loopback socket on the preferred port, or on any where that is taken."""
    try:
        return socket.create_server(("127.0.0.1", preferred_port), backlog=128)
    except OSError:
        return socket.create_server(("127.0.0.1", 0), backlog=128)


def enter_network_namespace(path: Path) -> None:
    """Move this thread into a network namespace (os.setns exists from Python 3.12 on)."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Either side may be gone at any point; the other one is then closed as well.
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        far_reader, far_writer = await asyncio.open_connection(CONTROL_PLANE_ADDRESS, API_PORT)
    except OSError:
        writer.close()
        return
    try:
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
    finally:
        writer.close()
        far_writer.close()


async def _serve(listener: socket.socket) -> None:
    server = await asyncio.start_server(_forward, sock=listener)
    await server.serve_forever()


def main(namespace: str, preferred_port: str, port_file: str) -> None:
    """Listen, tell the port in `port_file`, and forward until killed."""
    listener = listen(int(preferred_port))
    enter_network_namespace(Path(namespace))
    partial = Path(f"{port_file}.partial")
    partial.write_text(str(listener.getsockname()[1]))
    partial.rename(port_file)
    asyncio.run(_serve(listener))


if __name__ == "__main__":
    main(*sys.argv[1:])
