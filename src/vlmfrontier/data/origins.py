"""Where the files of a published set come from: a data set of the Hugging Face hub, or addresses of other hosts.

What goes wrong there is said in one line, with what to do.
"""

import errno
import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import httpx2
from httpx2 import HTTPError
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from vlmfrontier.data.archives import is_piece
from vlmfrontier.errors import UserError
from vlmfrontier.files import hash_file
from vlmfrontier.study.data import FetchConfig, SourceConfig

_OF_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def translate_errors(where: str, repository: str, revision: str, kind: str = "model") -> Iterator[None]:
    """Raise `UserError` for what the hub, the network or the disk refuses inside the `with`.

    `where` names the key that asks for `repository`, `revision` the one that asks for its revision, each with its
    value; `kind` is what the repository holds.
    """
    try:
        yield
    except GatedRepoError:
        hint = f"accept the licence on the {kind}'s page, then `hf auth login` with that account"
        raise UserError(f"{where}: the {kind} is behind a licence; {hint}") from None
    except RevisionNotFoundError:
        raise UserError(f"{revision}: {repository} has no such commit, tag or branch") from None
    except RepositoryNotFoundError:
        raise UserError(f"{where}: the hub has no such {kind}, or none that this account may see") from None
    except HFValidationError as error:
        raise UserError(f"{where}: {str(error).splitlines()[0]}") from None
    # The hub's own errors, no connection at all, what the disk says, and what hf_xet raises when a download breaks off.
    except (HTTPError, OSError, RuntimeError) as error:
        raise UserError(f"{where}: {refusal(error)}") from None


def refusal(error: Exception) -> str:
    """Return what an error of network or disk means for a fetch, and what to do."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, OSError) and error.errno in _OF_DISK:
        return f"cannot be written ({reason}); make room or choose another folder, then call again"
    return f"cannot be fetched ({reason}); this step needs a node with network"


SILENCE = 60.0
"""Seconds without a byte after which another host is given up on."""


class Remote(NamedTuple):
    """One published file."""

    key: str
    """Where it is published: what it is known by once it was fetched."""
    path: str
    """Its path in the repository; of an address the last part."""
    size: int | None = None
    mark: str | None = None
    """Changes with its content; None where nobody tells."""
    sha256: str | None = None


class Origin(ABC):
    """One entry of a source's `fetch`, looked at: its files are known, none is fetched."""

    def __init__(self, source: SourceConfig, config: FetchConfig):
        self.source, self.config = source, config
        self.where = f"{source.name}: fetch"
        files = self._files()
        self.annotations = self._matching("annotations", files)
        taken = {file.key for file in self.annotations}
        self.videos = [file for file in self._matching("videos", files) if file.key not in taken]
        for file in self.videos:
            if is_piece(file.path):
                hint = "join the pieces by hand (cat), and leave them out of `videos`"
                raise UserError(f"{self.where}: {file.path} is a piece of a split archive; {hint}")

    @abstractmethod
    def record(self) -> dict[str, str | None]:
        """Return what is kept of the origin: what it is and, of a repository, its commit."""

    @abstractmethod
    def _files(self) -> list[Remote]:
        """Return all files there are. Raises `UserError`."""

    @abstractmethod
    def _download(self, file: Remote, folder: Path) -> Path:
        """Return the file, fetched into `folder` if it is not there."""

    def get(self, file: Remote, folder: Path) -> Path:
        """Return `file`, fetched into `folder` if it is not there, whole as far as its origin tells.

        Raises `UserError` if it cannot be fetched or has another hash than it should.
        """
        path = self._download(file, folder)
        if file.sha256 is not None and hash_file(path) != file.sha256:
            path.unlink()
            raise UserError(f"{self.where}: {file.path} has not the SHA-256 {file.sha256[:12]}…; call again")
        return path

    def _matching(self, key: str, files: list[Remote]) -> list[Remote]:
        """Return the files that a pattern of `key` matches, in the order of their names; each must match some."""
        found: dict[str, Remote] = {}
        for pattern in getattr(self.config, key):
            matching = [file for file in files if fnmatchcase(file.path, pattern)]
            if not matching:
                raise UserError(f"{self.where}.{key}: no published file matches {str(pattern)!r}; correct the pattern")
            found |= {file.path: file for file in matching}
        return [found[path] for path in sorted(found, key=_natural)]


class HubOrigin(Origin):
    """A data set of the Hugging Face hub, at one commit."""

    commit: str

    def record(self) -> dict[str, str | None]:
        """Return name and commit."""
        return {"dataset": self.config.dataset, "commit": self.commit}

    def _translated(self):
        where = f"{self.where}.dataset = {str(self.config.dataset)!r}"
        revision = f"{self.where}.revision = {str(self.config.revision)!r}"
        return translate_errors(where, self.config.dataset, revision, "data set")

    def _files(self) -> list[Remote]:
        name, api = str(self.config.dataset), HfApi()
        with self._translated():
            self.commit = api.dataset_info(name, revision=self.config.revision).sha
            tree = api.list_repo_tree(name, revision=self.commit, recursive=True, repo_type="dataset")
            files = [entry for entry in tree if isinstance(entry, RepoFile)]
        return [self._remote(name, file) for file in files]

    @staticmethod
    def _remote(name: str, file: RepoFile) -> Remote:
        sha256 = file.lfs.sha256 if file.lfs else None
        return Remote(f"{name}/{file.path}", file.path, file.size, sha256 or file.blob_id, sha256)

    def _download(self, file: Remote, folder: Path) -> Path:
        name = str(self.config.dataset)
        home = folder / name.replace("/", "--")
        with self._translated():
            found = hf_hub_download(name, file.path, repo_type="dataset", revision=self.commit, local_dir=home)
        return Path(found)


class UrlOrigin(Origin):
    """Files of other hosts."""

    def record(self) -> dict[str, str | None]:
        """Return the addresses."""
        return {"urls": [str(entry.url) for entry in self.config.urls]}

    def _files(self) -> list[Remote]:
        return [self._remote(str(entry.url), entry.sha256) for entry in self.config.urls]

    @staticmethod
    def _remote(url: str, sha256: str | None) -> Remote:
        return Remote(url, unquote(PurePosixPath(urlsplit(url).path).name), mark=sha256, sha256=sha256)

    def _download(self, file: Remote, folder: Path) -> Path:
        home = folder / hashlib.sha256(file.key.encode()).hexdigest()[:12]
        home.mkdir(parents=True, exist_ok=True)
        try:
            return _download_url(file.key, home / file.path)
        except (httpx2.HTTPError, OSError) as error:
            raise UserError(f"{self.where}.urls: {file.key}: {refusal(error)}") from None


def list_remote(source: SourceConfig) -> list[Origin]:
    """Return the origins of a source that has some. Raises `UserError` if one cannot be reached or lacks a file."""
    return [(HubOrigin if part.dataset else UrlOrigin)(source, part) for part in source.fetch]


def _download_url(url: str, path: Path) -> Path:
    """Fetch `url` to `path`, going on where an earlier call stopped, if the host can."""
    if path.exists():
        return path
    incomplete = path.with_name(path.name + ".incomplete")
    begun = incomplete.stat().st_size if incomplete.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
    with httpx2.stream("GET", url, headers=headers, follow_redirects=True, timeout=SILENCE) as answer:
        if begun and answer.status_code == httpx2.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            incomplete.unlink()  # the file has become shorter, or was whole already
            return _download_url(url, path)
        answer.raise_for_status()
        with incomplete.open("ab" if answer.status_code == httpx2.codes.PARTIAL_CONTENT else "wb") as file:
            for chunk in answer.iter_raw():
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    incomplete.replace(path)
    return path


def _natural(path: str) -> list[tuple[int, str]]:
    """Return a key that sorts `videos_10` behind `videos_9`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]
