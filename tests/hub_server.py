"""A Hub on this machine's loopback: what the real clients need of it, in memory, and the faults that tests ask for.

The protocol is that of huggingface_hub 2.4 with xet off. Repositories are datasets, or models to be read; a branch is
a list of commits, and a commit all files of the repository.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

WRITER, READER = "hf_writer_token", "hf_reader_token"
DATE = "2026-01-01T00:00:00.000Z"


@dataclass
class Commit:
    sha: str
    files: dict[str, bytes]
    title: str = ""


@dataclass
class Repo:
    private: bool = False
    branches: dict[str, list[Commit]] = field(default_factory=dict)

    def find(self, revision: str) -> Commit | None:
        if revision in self.branches:
            return self.branches[revision][-1]
        return next((commit for line in self.branches.values() for commit in line if commit.sha == revision), None)


@dataclass
class Fault:
    """What happens to a request whose stage is `stage`: `times` of them, after `after` have passed.

    Stages are "create", "info", "preupload", "batch", "put", "yaml", "commit", "tree", "resolve".
    """

    stage: str
    answer: Callable[["Handler"], None]
    times: int = 1
    after: int = 0


class Hub:
    """The server's state; `faults` and `requests` are for tests."""

    def __init__(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.lock = threading.RLock()
        self.commits = 0  # never starts again: the clients remember what a commit holds
        self.clear()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def clear(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """What a revision of a repository holds."""
        commit = self.repos[repo].find(revision)
        assert commit is not None, f"{repo} has no {revision}"
        return commit.files

    def titles(self, repo: str, revision: str = "main") -> list[str]:
        return [commit.title for commit in self.repos[repo].branches[revision]]

    def put_model(self, name: str, folder: Path) -> None:
        """A repository with the files of a checkpoint."""
        repo = self.repos.setdefault(name, Repo())
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        self.commit(repo, "main", files)

    def commit(self, repo: Repo, branch: str, files: dict[str, bytes], title: str = "") -> Commit:
        self.commits += 1
        made = Commit(hashlib.sha1(f"{self.commits} {title}".encode()).hexdigest(), files, title)
        repo.branches.setdefault(branch, []).append(made)
        return made

    @contextmanager
    def failing(
        self, stage: str, answer: Callable[["Handler"], None], times: int = 1, after: int = 0
    ) -> Iterator[None]:
        fault = Fault(stage, answer, times, after)
        self.faults.append(fault)
        try:
            yield
        finally:
            self.faults.remove(fault)


def dropped(handler: "Handler") -> None:
    """The connection ends without an answer."""
    handler.close_connection = True
    handler.connection.close()


def answered(status: int, **headers: str) -> Callable[["Handler"], None]:
    """An error with this status."""

    def answer(handler: "Handler") -> None:
        handler.send(
            {"error": f"status {status}"}, status, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    return answer


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, else each answer waits 40 ms for an acknowledgement
    disable_nagle_algorithm = True

    ROUTES = (
        ("POST", r"/api/repos/create", "create"),
        ("GET", r"/api/whoami-v2", "whoami"),
        ("GET", r"/api/(?:datasets|models)/([^/]+)(?:/revision/[^/?]+)?", "unknown"),
        ("GET", r"/api/(?:datasets|models)/([^/]+/[^/]+)(?:/revision/([^/?]+))?", "info"),
        ("POST", r"/api/(?:datasets|models)/([^/]+/[^/]+)/preupload/([^/?]+)", "preupload"),
        ("POST", r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/blobs/([0-9a-f]+)", "put"),
        ("POST", r"/api/validate-yaml", "yaml"),
        ("POST", r"/api/(?:datasets|models)/([^/]+/[^/]+)/commit/([^/?]+)", "commit"),
        ("POST", r"/api/(?:datasets|models)/([^/]+/[^/]+)/branch/([^/?]+)", "branch"),
        ("POST", r"/api/(?:datasets|models)/([^/]+/[^/]+)/paths-info/([^/?]+)", "paths"),
        ("GET", r"/api/(?:datasets|models)/([^/]+/[^/]+)/tree/([^/?]+)(?:/([^?]*))?", "tree"),
        ("GET", r"/(?:datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
    )

    def log_message(self, *args: Any) -> None:
        """Nothing on stderr."""

    def handle_any(self) -> None:
        url, length = urlsplit(self.path), int(self.headers.get("Content-Length") or 0)
        self.body = (
            self.rfile.read(length) if length or self.headers.get("Transfer-Encoding") is None else self._chunks()
        )
        self.query = {name: values[0] for name, values in parse_qs(url.query).items()}
        method = "GET" if self.command == "HEAD" else self.command
        for verb, pattern, stage in self.ROUTES:
            if verb == method and (match := re.fullmatch(pattern, url.path)):
                with self.hub.lock:
                    self.hub.requests.append((stage, f"{self.command} {url.path}"))
                    for fault in self.hub.faults:
                        if fault.stage == stage and fault.times:
                            if fault.after:
                                fault.after -= 1
                                continue
                            fault.times -= 1
                            return fault.answer(self)
                    return getattr(self, stage)(*(part and unquote(part) for part in match.groups()))
        return self.send({"error": f"no route {self.command} {url.path}"}, 404)

    do_GET = do_POST = do_PUT = do_HEAD = handle_any  # noqa: N815

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def send(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(data)),
            "Content-Type": "application/json",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, status: int, code: str) -> None:
        self.send({"error": code}, status, {"X-Error-Code": code, "X-Error-Message": code})

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def may_write(self) -> bool:
        if self.token == WRITER:
            return True
        self.send({"error": "you have no write access"}, 403 if self.token == READER else 401)
        return False

    def repo(self, name: str) -> Repo | None:
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and self.token not in (WRITER, READER)):
            self.refuse(404, "RepoNotFound")
            return None
        return repo

    def at(self, name: str, revision: str) -> Commit | None:
        if (repo := self.repo(name)) is None:
            return None
        if (commit := repo.find(revision)) is None:
            self.refuse(404, "RevisionNotFound")
        return commit

    def create(self) -> None:
        if not self.may_write():
            return
        wanted = json.loads(self.body)
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        known = name in self.hub.repos
        if not known:
            repo = self.hub.repos[name] = Repo(bool(wanted.get("private") or wanted.get("visibility") == "private"))
            self.hub.commit(repo, "main", {}, "initial commit")
        self.send({"url": f"{self.hub.endpoint}/datasets/{name}", "id": name}, 409 if known else 200)

    def whoami(self) -> None:
        self.send({"name": "me", "type": "user", "orgs": [], "auth": {}})

    def info(self, name: str, revision: str | None) -> None:
        if commit := self.at(name, revision or "main"):
            siblings = [{"rfilename": path, "size": len(data)} for path, data in commit.files.items()]
            answer = {"id": name, "sha": commit.sha, "siblings": siblings, "private": self.hub.repos[name].private}
            self.send(answer | {"tags": [], "lastModified": DATE, "downloads": 0, "likes": 0})

    def unknown(self, name: str) -> None:
        """A name without an owner is one of the few old datasets that have none, whoever asks."""
        self.refuse(404, "RepoNotFound")

    def preupload(self, name: str, revision: str) -> None:
        if self.may_write() and self.at(name, revision):
            files = json.loads(self.body)["files"]
            modes = {
                file["path"]: "lfs" if file["path"].endswith((".parquet", ".png")) else "regular" for file in files
            }
            self.send(
                {"files": [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]}
            )

    def batch(self, name: str) -> None:
        if not self.may_write():
            return
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            upload = {"href": f"{self.hub.endpoint}/blobs/{wanted['oid']}", "header": {}}
            actions = {} if wanted["oid"] in self.hub.blobs else {"actions": {"upload": upload}}
            objects.append({"oid": wanted["oid"], "size": wanted["size"], **actions})
        self.send({"transfer": "basic", "objects": objects})

    def put(self, oid: str) -> None:
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.blobs[oid] = self.body
        self.send(b"")

    def yaml(self) -> None:
        self.send({"errors": [], "warnings": []})

    def branch(self, name: str, branch: str) -> None:
        if self.may_write() and (repo := self.repo(name)):
            known = branch in repo.branches
            if not known:
                repo.branches[branch] = list(repo.branches["main"])
            self.send({}, 409 if known else 200)

    def commit(self, name: str, revision: str) -> None:
        if not self.may_write() or (parent := self.at(name, revision)) is None:
            return None
        repo, files, title = self.hub.repos[name], dict(parent.files), ""
        for line in filter(None, self.body.splitlines()):
            entry = json.loads(line)
            kind, value = entry["key"], entry["value"]
            if kind == "header":
                title = value["summary"]
                if value.get("parentCommit") not in (None, parent.sha):
                    return self.send({"error": "A commit has happened since. Please refresh and try again."}, 412)
            elif kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif kind == "deletedFile":
                files.pop(value["path"], None)
            elif kind == "deletedFolder":
                files = {path: data for path, data in files.items() if not path.startswith(value["path"])}
        url = f"{self.hub.endpoint}/datasets/{name}"
        if self.query.get("create_pr") in ("1", "true", "True"):
            number = 1 + sum(branch.startswith("refs/pr/") for branch in repo.branches)
            repo.branches[f"refs/pr/{number}"] = list(repo.branches[revision])
            made = self.hub.commit(repo, f"refs/pr/{number}", files, title)
            url_of = {"pullRequestUrl": f"{url}/discussions/{number}"}
        else:
            made, url_of = self.hub.commit(repo, revision, files, title), {}
        return self.send({"success": True, "commitOid": made.sha, "commitUrl": f"{url}/commit/{made.sha}", **url_of})

    def paths(self, name: str, revision: str) -> None:
        if commit := self.at(name, revision):
            data = (
                json.loads(self.body)
                if self.body[:1] == b"{"
                else {"paths": parse_qs(self.body.decode()).get("paths", [])}
            )
            entries = self._entries(commit)
            self.send([entries[path] for path in data["paths"] if path in entries])

    def tree(self, name: str, revision: str, folder: str | None) -> None:
        if commit := self.at(name, revision):
            inside = f"{folder.rstrip('/')}/" if folder else ""
            recursive = self.query.get("recursive") in ("true", "True", "1")
            listed = [
                entry
                for path, entry in self._entries(commit).items()
                if path.startswith(inside) and (recursive or "/" not in path[len(inside) :])
            ]
            if inside and not listed:
                return self.refuse(404, "EntryNotFound")
            return self.send(listed)
        return None

    def _entries(self, commit: Commit) -> dict[str, dict[str, Any]]:
        """Files and folders by path."""
        entries: dict[str, dict[str, Any]] = {}
        for path, data in sorted(commit.files.items()):
            parts = path.split("/")
            for depth in range(1, len(parts)):
                folder = "/".join(parts[:depth])
                oid = hashlib.sha1(folder.encode()).hexdigest()
                entries.setdefault(folder, {"type": "directory", "path": folder, "oid": oid, "size": 0})
            oid = hashlib.sha1(data).hexdigest()
            entry = entries[path] = {"type": "file", "path": path, "oid": oid, "size": len(data)}
            if path.endswith(".parquet"):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 100}
            entry["lastCommit"] = {"id": commit.sha, "title": commit.title, "date": DATE}
        return entries

    def resolve(self, name: str, revision: str, path: str) -> None:
        if (commit := self.at(name, revision)) is None:
            return
        if path not in commit.files:
            self.refuse(404, "EntryNotFound")
            return
        data = commit.files[path]
        headers = {
            "X-Repo-Commit": commit.sha,
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        if part := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(part[1]), int(part[2] or len(data) - 1)
            content = data[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{first + len(content) - 1}/{len(data)}"
            self.send(content, 206, headers)
        else:
            self.send(data, 200, headers)
