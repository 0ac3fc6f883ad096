"""A server that answers as S3 does to listing and reading, with keys that a real one might refuse to store."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "data"
_BEGIN = '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'


@contextmanager
def serving(objects: Mapping[str, bytes]) -> Iterator[str]:
    """Endpoint of a server with one bucket of these objects, by key."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            key = unquote(address.path).removeprefix(f"/{BUCKET}").lstrip("/")
            listing = not key and "prefix=" in address.query
            body = _listing(objects) if listing else objects.get(key, b"")
            self.send_response(200 if listing or key in objects else 404)
            self.send_header("ETag", _etag(body))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _listing(objects: Mapping[str, bytes]) -> bytes:
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>{escape(_etag(content))}</ETag><Size>{len(content)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key, content in objects.items()
    )
    head = f"<Name>{BUCKET}</Name><Prefix></Prefix><IsTruncated>false</IsTruncated>"
    return f"{_BEGIN}{head}{entries}</ListBucketResult>".encode()


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
