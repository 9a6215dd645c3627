"""A server that answers like Hugging Face, with configurable faults."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

COMMIT = "1" * 40


class _QuietServer(ThreadingHTTPServer):
    """The HTTP server of a hub; it prints no error when a client disconnects."""

    daemon_threads = True

    def __init__(self, hub: "HubServer") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub

    def handle_error(self, *_words: object) -> None:
        pass


class HubServer:
    """Serves the files of one repository; the fields configure its faults."""

    def __init__(self, files: dict[str, bytes], repo: str = "owner/model-GGUF") -> None:
        self.repo, self.files = repo, files
        self.cuts: list[int] = []
        """The number of bytes after which each of the next responses ends early."""
        self.statuses: list[int] = []
        """The statuses of the next responses to requests for a file."""
        self.moved: tuple[int, str] | None = None
        """The status and the target of a redirect of all requests; None for no redirect."""
        self.error_code = ""
        self.digests: dict[str, str] = {}
        self.body: bytes | None = None
        """A replacement of the repository description; None to send the real one."""
        self.takes_ranges = True
        self.without_lfs = False
        self.without_commit = False
        self.checksum_header = ""
        """The response header that has the checksum of a file; none if empty."""
        self.storage = ""
        """The address to which HEAD requests for a file are redirected; none if empty."""
        self.without_head = False
        self.without_size = False
        """True to omit the size of a file from the description and from redirects."""
        self.redirects_inside = False
        """True to redirect requests for a file within this server, without other headers."""
        self.gate: threading.Event | None = None
        """An event that must be set before the second half of a file is sent."""
        self.begins: list[int] = []
        """The start offset of each request for a file."""
        self.tokens: list[str | None] = []
        self.lengths: list[str | None] = []
        """The Content-Length header of each request."""
        self._server = _QuietServer(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self.gate is not None:
            self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def revision(self) -> str:
        return "main" if self.without_commit else COMMIT

    def checksum(self, content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()

    def info(self) -> dict[str, Any]:
        siblings = []
        for name, content in self.files.items():
            digest = self.digests.get(name, hashlib.sha256(content).hexdigest())
            lfs = {"sha256": digest, "size": len(content), "pointerSize": 130}
            size = None if self.without_size else len(content)
            entry = {"rfilename": name, "size": size, "blobId": "0" * 40}
            siblings.append(entry if self.without_lfs else {**entry, "lfs": lfs})
        commit = None if self.without_commit else COMMIT
        return {"id": self.repo, "modelId": self.repo, "sha": commit, "private": False,
                "downloads": 0, "likes": 0, "tags": [], "siblings": siblings}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of a client with the faults of the hub."""

    protocol_version = "HTTP/1.1"

    @property
    def _hub(self) -> HubServer:
        assert isinstance(self.server, _QuietServer)
        return self.server.hub

    def do_GET(self) -> None:
        hub = self._hub
        hub.tokens.append(self.headers["Authorization"])
        hub.lengths.append(self.headers["Content-Length"])
        path = self.path.split("?")[0]
        if hub.moved is not None:
            status, place = hub.moved
            self._answer(status, b"", {"Location": place + self.path * (place[-1] != "/")})
            return
        if path == f"/api/models/{hub.repo}":
            body = hub.body
            self._answer(200, json.dumps(hub.info()).encode() if body is None else body)
        elif path.startswith(prefix := f"/{hub.repo}/resolve/{hub.revision}/"):
            if hub.redirects_inside:
                self._answer(302, b"", {"Location": f"{hub.url}/inside{path}"})
            else:
                self._send_file(hub.files[path.removeprefix(prefix)])
        elif path.startswith(f"/inside{prefix}"):
            self._send_file(hub.files[path.removeprefix(f"/inside{prefix}")])
        else:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    def do_HEAD(self) -> None:
        hub = self._hub
        if hub.without_head or hub.redirects_inside:
            self._head(405 if hub.without_head else 302, 0, {"Location": f"/inside{self.path}"})
            return
        _, _, rest = self.path.partition("/resolve/")
        content = hub.files[rest.partition("/")[2]]
        more = {"Location": hub.storage} if hub.storage else {}
        if hub.checksum_header:
            digest = hub.checksum(content)
            more |= {hub.checksum_header: f'"{digest}"'}
            if not hub.without_size:
                more |= {"X-Linked-Size": str(len(content))}
        self._head(302 if hub.storage else 200, len(content), more)

    def _send_file(self, content: bytes) -> None:
        hub = self._hub
        if self.headers["Range"] == "bytes=0-0":
            more = {"Content-Range": f"bytes 0-0/{len(content)}"}
            if hub.checksum_header:
                more |= {hub.checksum_header: f'"{hub.checksum(content)}"'}
            self._answer(206, content[:1], more)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        begin = int(wanted[1]) if wanted and hub.takes_ranges else 0
        hub.begins.append(begin)
        if hub.statuses:
            more = {"X-Error-Code": hub.error_code} if hub.error_code else {}
            self._answer(hub.statuses.pop(0), b"", more)
            return
        cut = hub.cuts.pop(0) if hub.cuts else None
        more = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}
        self._head(206 if begin else 200, len(content) - begin, more if begin else {})
        rest = content[begin:]
        half = len(rest) // 2
        if hub.gate is not None:
            self.wfile.write(rest[:half])
            hub.gate.wait(20)
            rest = rest[half:]
        self.wfile.write(rest[:cut])
        if cut is not None:
            self.close_connection = True

    def _answer(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
        self._head(status, len(body), more or {})
        self.wfile.write(body)

    def _head(self, status: int, length: int, more: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        pass
