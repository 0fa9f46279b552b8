"""A TLS server on the loopback address that serves one file, honestly or not."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from running import running


class Handler(BaseHTTPRequestHandler):
    """Answers by the server's list of modes, the last of them for ever."""

    server: "Server"

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        """Answer as the next mode says."""
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        modes = server.lies.get(self.path, server.modes)
        mode = modes.pop(0) if len(modes) > 1 else modes[0]
        self.close_connection = True
        name, _, value = mode.partition(" ")
        if name == "status":
            code, _, wait = value.partition(" ")
            return self.head(int(code), 0, **({"Retry-After": wait} if wait else {}))
        if name == "redirect":
            return self.head(302, 0, Location=value)
        if server.files is not None and self.path not in server.files:
            return self.head(404, 0)
        self.serve(name, (server.files or {}).get(self.path, server.data), server.etag)
        return None

    def head(self, status, length, **headers):
        """Send a status, the headers, and nothing more."""
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for key, text in headers.items():
            self.send_header(key.replace("_", "-"), text)
        self.end_headers()

    def serve(self, mode, data, etag):
        """Send the file, or the rest of it that was asked for, with the lie of the mode."""
        tag = {"ETag": f'"{etag}"'} if etag else {}
        if mode == "longer":
            data += b"x"
        if mode == "shorter":
            data = data[:-1]
        if mode == "damaged":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if mode == "page":
            data = b"<html>not here</html>"
        asked = self.headers.get("Range")
        matches = self.headers.get("If-Range") in (None, tag.get("ETag"))
        if asked and matches and mode != "whole":
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            first = start + 1 if mode == "elsewhere" else start
            body = data[start:]
            self.head(206, len(body), Content_Range=f"bytes {first}-{len(data) - 1}/{len(data)}", **tag)
        else:
            body = data
            extra = {"Content-Encoding": "gzip"} if mode == "packed" else {}
            self.head(200, None if mode == "unsized" else len(body), **tag, **extra)
        self.send_body(mode, body)

    def send_body(self, mode, body):
        """Send it whole, cut, or one byte at a time."""
        if mode == "cut":
            body = body[: len(body) // 2]
        if mode in ("drip", "hang"):
            for byte in body[:40]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05 if mode == "drip" else 0)
            if mode == "hang":
                self.server.stopped.wait(20)
            return
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Serves until it is closed; remembers every request."""

    data: bytes
    files: dict[str, bytes] | None = None  # by path, where there is more than one
    modes: list[str]
    lies: dict[str, list[str]]  # modes of one path, before those of all
    etag: str
    requests: list[tuple[str, dict[str, str]]]
    stopped: threading.Event
    url: str

    daemon_threads = True

    def handle_error(self, *_):
        """A client that hangs up is what the tests are about."""


@contextmanager
def serving(data, certificate, *modes, etag="1"):
    """Serve `data` by these modes, one a request; give the server, its address in `url`."""
    server = Server(("127.0.0.1", 0), Handler)
    server.data, server.modes, server.etag = data, list(modes) or ["honest"], etag
    server.requests, server.lies = [], {}
    server.url = f"https://127.0.0.1:{server.server_address[1]}/dir/file.pth?sig=SECRET"
    with running(server, certificate):
        yield server
