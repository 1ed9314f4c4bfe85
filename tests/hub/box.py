"""A Hub in a box: a server on this machine that speaks the Hub's protocol, and lets faults be injected.

It answers what clients ask for before and while they fetch: repository info, tree listings (in pages), ``paths-info``
and ``resolve`` by HEAD and GET, with the Hub's headers, refusals and redirects.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MEMBER, STRANGER, NARROW = "hf_member", "hf_stranger", "hf_narrow"
"""Tokens: of somebody whom every licence was granted to, of somebody whom none was, and of too narrow a scope."""

LFS = (".safetensors", ".parquet", ".bin", ".pth", ".model")
NARROW_SAYS = "Please enable access to public gated repositories in your fine-grained token settings."
_URL = re.compile(
    r"/(?:api/(?P<api>models|datasets)/(?P<id>[^/]+/[^/]+)"
    r"(?:/(?P<verb>revision|tree|paths-info)/(?P<rev>refs/[a-z]+/[^/]+|[^/]+))?"
    r"|(?P<data>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<at>[^/]+))(?:/(?P<path>.*))?"
)


@dataclass(frozen=True)
class Repository:
    """One repository at one commit; ``moved`` is the id that it has today, if another."""

    kind: str
    id: str
    commit: str
    files: Mapping[str, bytes]
    gated: bool = False
    private: bool = False
    moved: str | None = None
    refs: Sequence[str] = ("main",)


@dataclass
class Fault:
    """What goes wrong with the next ``times`` requests whose path holds ``where`` (and whose verb is ``method``).

    ``status`` answers it with ``headers``; ``delay`` waits for so many seconds before; ``cut`` hangs up after so many
    bytes of a body; ``flip`` damages a body's middle byte; ``slow`` is a body's pace in bytes a second.
    """

    where: str
    times: int = 10**9
    method: str | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int | None = None
    flip: bool = False
    slow: int | None = None


class Box:
    """The server, as a context; ``log`` lists what was asked for, as (method, path)."""

    def __init__(self, repositories: Sequence[Repository], page: int = 1000, port: int = 0) -> None:
        self.repositories = {(each.kind, each.id): each for each in repositories}
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str]] = []
        self.page = page
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), type("Bound", (_Handler,), {"box": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Box:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: Path, token: str | None = MEMBER) -> dict[str, str]:
        """Return this process's variables with those that lead a command to the box, and to a cache of its own."""
        left_out = ("HF_HUB_OFFLINE", "SECURA_BENCH_DATA", "HF_TOKEN", "HF_HUB_CACHE", "XDG_CACHE_HOME")
        variables = {name: value for name, value in os.environ.items() if name not in left_out}
        return variables | {"HF_ENDPOINT": self.url, "HF_HOME": str(home)} | ({"HF_TOKEN": token} if token else {})

    def fetched(self) -> list[str]:
        """Return the files that were asked for by GET, in order."""
        return [
            path.partition("/resolve/")[2].partition("/")[2]
            for verb, path in self.log
            if verb == "GET" and "/resolve/" in path
        ]

    def fault_of(self, method: str, path: str) -> Fault | None:
        """Return what goes wrong with this request, and count it."""
        with self.lock:
            self.log.append((method, path))
            for fault in self.faults:
                if fault.times > 0 and fault.where in path and fault.method in (None, method):
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    box: Box
    fault: Fault
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *words: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer one request."""
        url = urlsplit(self.path)
        fault = self.fault = self.box.fault_of(self.command, unquote(url.path)) or Fault("")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(fault.delay)
        if fault.status:
            return self._say(fault.status, b"", fault.headers)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in (MEMBER, STRANGER, NARROW):
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        if url.path == "/api/whoami-v2":
            return self._json({"name": token}) if token else self._refuse(401, "", "Invalid username or password.")
        found = _URL.fullmatch(unquote(url.path))
        if found is None:
            return self._refuse(404, "", "Not found")
        kind = "dataset" if found["api"] == "datasets" or found["data"] else "model"
        repository = self.box.repositories.get((kind, found["id"] or found["repo"]))
        if repository is None or (repository.private and token != MEMBER):
            return self._refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        if repository.moved:
            return self._say(307, b"", {"Location": self.path.replace(repository.id, repository.moved, 1)})
        revision = found["rev"] or found["at"] or "main"
        if revision not in (repository.commit, *repository.refs):
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if found["at"]:
            return self._file(repository, found["path"] or "", token)
        return self._api(repository, found["verb"] or "revision", found["path"] or "", parse_qs(url.query), body)

    do_HEAD = do_POST = do_GET  # noqa: N815  (so named by http.server)

    def _api(self, repository: Repository, verb: str, path: str, query: Mapping[str, list[str]], body: bytes) -> None:
        entries = [_entry(name, content) for name, content in sorted(repository.files.items())]
        if verb == "revision":
            facts = {"id": repository.id, "sha": repository.commit, "private": repository.private}
            siblings = [_sibling(entry) for entry in entries]
            return self._json(facts | {"gated": "manual" if repository.gated else False, "siblings": siblings})
        if verb == "paths-info":
            asked = json.loads(body)["paths"] if body[:1] == b"{" else parse_qs(body.decode()).get("paths", [])
            return self._json([entry for entry in entries if entry["path"] in asked])
        below = path + "/" if path else ""
        entries = [entry for entry in entries if entry["path"].startswith(below)]
        if not entries:
            return self._refuse(404, "EntryNotFound", f"{path} does not exist")
        if query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
            folders = {
                entry["path"][len(below) :].partition("/")[0] for entry in entries if "/" in entry["path"][len(below) :]
            }
            entries = [entry for entry in entries if "/" not in entry["path"][len(below) :]]
            entries += [
                {"type": "directory", "path": below + name, "size": 0, "oid": "0" * 40} for name in sorted(folders)
            ]
        start = int(query.get("cursor", ["0"])[0])
        more = start + self.box.page
        after = f'<{self.box.url}{urlsplit(self.path).path}?recursive=True&cursor={more}>; rel="next"'
        return self._json(entries[start:more], {"Link": after} if more < len(entries) else {})

    def _file(self, repository: Repository, path: str, token: str) -> None:
        if repository.gated and token != MEMBER:
            who = f"Access to model {repository.id} is restricted"
            if not token:
                return self._refuse(401, "GatedRepo", f"{who}. You must have access to it and be authenticated.")
            said = NARROW_SAYS if token == NARROW else f"{who} and you are not in the authorized list."
            return self._refuse(403, "GatedRepo", said)
        content = repository.files.get(path)
        if content is None:
            return self._refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": repository.commit})
        entry = _entry(path, content)
        etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": repository.commit, "Accept-Ranges": "bytes"}
        if "lfs" in entry:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        if self.fault.flip:
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if start is None:
            return self._say(200, content, headers)
        first = int(start[1])
        if first >= len(content):
            return self._say(416, b"", headers | {"Content-Range": f"bytes */{len(content)}"})
        headers |= {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
        return self._say(206, content[first:], headers)

    def _json(self, answer: Any, headers: Mapping[str, str] | None = None) -> None:
        self._say(200, json.dumps(answer).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        named = {"X-Error-Code": code} if code else {}
        self._say(status, b'{"error": "no"}', {**named, "X-Error-Message": message, **(headers or {})})

    def _say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            for part in _parts(body, self.fault):
                self.wfile.write(part)
            if self.fault.cut is not None:
                self.close_connection = True
        except OSError:  # the client has gone, as it may
            self.close_connection = True


def _entry(path: str, content: bytes) -> dict[str, Any]:
    """Return a file as a tree listing has it: large kinds by SHA-256, the others by what git calls them."""
    entry = {"type": "file", "path": path, "size": len(content), "oid": git_name(content)}
    if path.endswith(LFS):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


def _sibling(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file as repository info has it."""
    found = {"rfilename": entry["path"], "size": entry["size"], "blobId": entry["oid"]}
    if "lfs" in entry:
        found["lfs"] = {"sha256": entry["lfs"]["oid"], "size": entry["size"], "pointerSize": 134}
    return found


def git_name(content: bytes) -> str:
    """Return the SHA-1 by which git names a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _parts(body: bytes, fault: Fault) -> Iterator[bytes]:
    """Yield what is sent of a body: all at once, or the first of it, or little by little."""
    body = body if fault.cut is None else body[: fault.cut]
    step = len(body) or 1 if fault.slow is None else max(1, fault.slow // 20)
    for start in range(0, len(body), step):
        yield body[start : start + step]
        if fault.slow is not None:
            time.sleep(0.05)
