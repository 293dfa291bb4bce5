"""A local server of a folder that can misbehave, and archives to serve."""

import hashlib
import io
import re
import ssl
import tarfile
import threading
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

from sfsc.catalogue import Item


class Site:
    """Serves a folder over HTTP with ranges; `faults` says what goes wrong, request by request.

    A fault is "cut" (half the bytes, then the connection breaks), "whole" (a range is answered with
    all of the file), "endless", "unsaid" (half the bytes, and no word of how many there are), or a
    status code. `requests` counts the answers with content, `bytes` what they were to send.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, list[str | int]] = {}
        self.requests: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.lstrip("/")
        left = self.faults.get(name, [])
        fault = left.pop(0) if left else None
        file = self.folder / name
        if fault is None and not file.is_file():
            fault = 404
        if isinstance(fault, int):
            request.send_error(fault)
            return
        self.requests[name] += 1
        content = file.read_bytes()
        if fault == "endless":
            request.send_response(200)
            request.end_headers()
            try:
                while True:
                    request.wfile.write(content)
            except OSError:
                return
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if match and fault != "whole":
            start = int(match[1])
            if start >= len(content):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(content)}")
                request.end_headers()
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            request.send_response(200)
        sent = content[start:]
        if fault != "unsaid":
            request.send_header("Content-Length", str(len(sent)))
        request.end_headers()
        if fault in ("cut", "unsaid"):
            sent = sent[: len(sent) // 2]
        self.bytes[name] += len(sent)  # before the client can have them all
        request.wfile.write(sent)

    def encrypted(self, certificate: Path, key: Path) -> str:
        """Answer by HTTPS from now on, as localhost; returns the address."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        return f"https://localhost:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def tar_of(files: Mapping[str, bytes | str], compression: str = "") -> bytes:
    """A tar with the given files; a "symbolic" or "hard" one is a link."""
    links = {"symbolic": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                member.type, member.linkname = links[content], "elsewhere.jpg"
                archive.addfile(member)
    return buffer.getvalue()


def put(site: Path, item: Item, content: bytes, md5: str | None = None) -> None:
    """Let a site offer an item of the catalogue, with its checksum where its real one has one."""
    (site / item.name).parent.mkdir(parents=True, exist_ok=True)
    (site / item.name).write_bytes(content)
    if item.md5_file:
        checksum = site / item.md5_file
        checksum.parent.mkdir(parents=True, exist_ok=True)
        md5 = md5 or hashlib.md5(content).hexdigest()
        checksum.write_text(f"{md5}  {PurePosixPath(item.name).name}\n")
