"""Run a server of a test in a thread of its own."""

import ssl
import threading
from contextlib import contextmanager


@contextmanager
def running(server, certificate=None):
    """Serve, over TLS with a certificate, until the block ends; `stopped` is set then."""
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.stopped = threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
