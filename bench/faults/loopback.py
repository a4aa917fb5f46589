"""A server of threads on loopback that lives as long as a block of code. Knows no protocol."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from typing import Self


class LoopbackServer(socketserver.ThreadingTCPServer):
    """Base of the servers that faults are put into."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Serves inside the block; its port is free again behind it."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()
            thread.join()
