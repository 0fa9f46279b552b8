"""A proxy on the loopback address that opens tunnels for whoever has its password, or goes wrong."""

import base64
import os
import selectors
import socket
import struct
import threading
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer

from running import running

USER, PASSWORD = "me", "p@ss w:rd"
URL_CREDENTIALS = "me:p%40ss%20w%3Ard"


class Handler(StreamRequestHandler):
    """Answer one CONNECT as the server's mode says."""

    server: "Proxy"

    def handle(self):
        """Read the request's head, check the password, join the two ends."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (line := self.rfile.readline()):
                return
            head += line
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        self.server.requests.append(lines[0].rpartition(" ")[0])
        self.server.passwords.append(headers.get("proxy-authorization"))
        mode, _, status = self.server.mode.partition(" ")
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if mode == "password" and headers.get("proxy-authorization") != expected:
            status = "407 Proxy Authentication Required"
        if mode == "silent":
            self.server.stopped.wait(20)
        if mode == "drip":
            for _ in range(400):
                self.wfile.write(b"HTTP/1.1 200 Connection"[:1])
                self.wfile.flush()
                if self.server.stopped.wait(0.05):
                    break
        if mode == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
        if mode == "garbage":
            self.wfile.write(b"SSH-2.0-none\r\n")
        if mode in ("garbage", "close", "reset", "silent", "drip"):
            return
        if status:
            self.wfile.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        host, _, port = lines[0].split()[1].rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as other:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.join(other)

    def join(self, other):
        """Carry bytes between the two ends until one is closed."""
        with selectors.DefaultSelector() as selector:
            for ends in ((self.connection, other), (other, self.connection)):
                selector.register(ends[0], selectors.EVENT_READ, ends)
            while True:
                for key, _ in selector.select(0.05):
                    source, target = key.data
                    if not (data := source.recv(1 << 16)):
                        return
                    target.sendall(data)
                if self.server.stopped.is_set():
                    return


class Proxy(ThreadingTCPServer):
    """Serve until it is closed; remember what was asked, and with which password."""

    daemon_threads = True
    mode: str
    requests: list[str]
    passwords: list[str | None]
    stopped: threading.Event
    url: str

    def handle_error(self, *_):
        """A client that hangs up is what the tests are about."""


@contextmanager
def proxying(mode="honest", *, certificate=None, credentials=""):
    """Run a proxy in a mode: honest, password, silent, drip, close, reset, garbage or `status CODE WORDS`."""
    server = Proxy(("127.0.0.1", 0), Handler)
    server.mode, server.requests, server.passwords = mode, [], []
    scheme, at = "https" if certificate else "http", f"{credentials}@" if credentials else ""
    server.url = f"{scheme}://{at}127.0.0.1:{server.server_address[1]}"
    with running(server, certificate):
        yield server
