"""A connection to a server that a test can cut and restore."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Relay:
    """Forwards one loopback port to another; cut, it closes every connection and takes no new one."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._open = threading.Event()
        self._open.set()
        self.port = 0
        self.restore()

    @property
    def is_cut(self) -> bool:
        """Whether no connection is taken."""
        return self._listener is None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nothing through inside the block, without closing anything."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def restore(self) -> None:
        """Take connections (again), on the same port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Close all connections and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self.target_port)) as server:
            with self._lock:
                self._sockets |= {client, server}
            other = {client: server, server: client}
            for each in other:  # A small packet may not wait for the answer to the one before.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    self._open.wait()
                    if not data:
                        return
                    other[ready].sendall(data)
