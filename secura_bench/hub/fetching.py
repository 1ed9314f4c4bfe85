"""Files of a commit brought into the cache: only those asked for, each on from where it stopped, each checked."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from secura_bench.foundation.errors import StoppedEarly
from secura_bench.hub.asking import Patience, endpoint, is_offline, opened
from secura_bench.hub.blobs import BLOCK, Checked, check, digest_for
from secura_bench.hub.cache import Repository, cache_folder
from secura_bench.hub.errors import HubError, HubOfflineError, TransientError
from secura_bench.hub.listing import Entry, blob_name
from secura_bench.hub.refusals import Refusal
from secura_bench.hub.voice import Meter, say, size

_LONG = 2_000_000_000  # bytes whose check takes long enough to be shown


def fetch(repository: Repository, commit: str, entries: Sequence[Entry]) -> Path:
    """Return the folder of a commit's files once all ``entries`` are there and sound; what is missing is fetched.

    Raises:
        HubError: The Hub refuses a file or is away, or one is damaged. StoppedEarly: The disk refuses them.
    """
    folder = repository.snapshot(commit)
    checked = Checked(repository)
    missing = [entry for entry in entries if not (folder / entry.path).is_file()]
    _check_those_here(repository, folder, [entry for entry in entries if entry not in missing], checked)
    wanted = [entry for entry in missing if not _is_linked(repository, folder, entry, checked)]
    if not wanted:
        return folder
    if is_offline():
        raise HubOfflineError(f"HF_HUB_OFFLINE is set, and {_names(wanted)} is not in the cache.")
    try:
        _check_room(repository, wanted)
        with Meter("fetching", repository.words, sum(entry.size for entry in wanted)) as meter:
            for entry in wanted:
                with _alone(repository, entry):
                    if not _is_linked(repository, folder, entry, checked):
                        _download(repository, commit, entry, meter)
                        checked.add(repository.blob(str(entry.blob)))
                        _is_linked(repository, folder, entry, checked)
    except OSError as error:
        raise StoppedEarly(
            f"{error.filename or cache_folder()}: {error.strerror or error}. The Hub's cache is there (HF_HOME); what "
            f"was fetched stays, and the same command goes on from here."
        ) from None
    return folder


def _check_those_here(repository: Repository, folder: Path, entries: Sequence[Entry], checked: Checked) -> None:
    """Check each file that is here and was not checked yet."""
    found = {entry: (folder / entry.path).resolve() for entry in entries}
    new = {entry: blob for entry, blob in found.items() if blob not in checked}
    amount = sum(blob.stat().st_size for blob in new.values())
    with Meter("checking", repository.words, amount) if amount >= _LONG else contextlib.nullcontext() as meter:
        for entry, blob in new.items():
            name = blob_name(folder / entry.path) or entry.blob
            if name is not None:
                check(repository, entry.path, blob, name, meter.advance if meter else lambda count: None)
    checked.add(*new.values())


def _is_linked(repository: Repository, folder: Path, entry: Entry, checked: Checked) -> bool:
    """Return whether the cache has a file's content, and link it into the commit's folder where it has."""
    blob = repository.blob(str(entry.blob))
    if not blob.is_file():
        return False
    if blob not in checked:
        check(repository, entry.path, blob, blob.name)
        checked.add(blob)
    link = folder / entry.path
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    try:
        beside.symlink_to(os.path.relpath(blob, link.parent))
    except OSError:  # a system without links has the content there instead
        shutil.copyfile(blob, beside)
    beside.replace(link)
    return True


def _download(repository: Repository, commit: str, entry: Entry, meter: Meter) -> None:
    """Bring one file's content into ``blobs``, on from what an earlier command left of it."""
    blob = repository.blob(str(entry.blob))
    part = _part(repository, entry)
    part.parent.mkdir(parents=True, exist_ok=True)
    url = f"{endpoint()}/{repository.place}/resolve/{commit}/{quote(entry.path)}"
    refusal = Refusal(repository, commit, entry.path)
    patience, counted, whole = Patience(), 0, 0
    while True:
        here = _size(part)
        if here != counted:
            meter.advance(here - counted, fresh=False)
            counted = here
        try:
            for count in _body(url, refusal, part, entry):
                meter.advance(count)
                counted += count
                if whole == 0:
                    patience.renew()
            whole += 1
            _finish(part, blob, entry, again=whole > 1)
            return
        except TransientError as error:
            patience.wait(error)


def _part(repository: Repository, entry: Entry) -> Path:
    """Return the file that holds what is here of a content; one process at a time writes to it."""
    return repository.blob(f"{entry.blob}.secura-bench.incomplete")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _body(url: str, refusal: Refusal, part: Path, entry: Entry) -> Iterator[int]:
    """Write what is missing of a file to ``part``, and yield the size of each piece."""
    here = _size(part)
    if here >= entry.size > 0:
        return
    with opened(url, refusal, {"Range": f"bytes={here}-"} if here else {}) as response:
        resumed = here > 0 and response.status_code == 206
        if here and not resumed:
            part.unlink()  # the server begins anew, or knows of no such rest
            if response.status_code == 416:
                raise TransientError(f"{endpoint()} has no rest of {entry.path}", wait=0.0)
            yield -here
        with part.open("ab") as stream:
            for block in response.iter_bytes():  # as they come: what a buffer holds is lost with the connection
                stream.write(block)
                yield len(block)


def _finish(part: Path, blob: Path, entry: Entry, again: bool) -> None:
    """Give a fetched content its name, if it is the one that the Hub named; what is not, not ``again`` either."""
    here = _size(part)
    if here < entry.size:
        raise TransientError(f"{endpoint()} hung up after {size(here)} of {entry.path}")
    part.touch()  # an empty file has no body
    digest = digest_for(blob.name, here)
    with part.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != blob.name:
        part.unlink()
        damaged = f"{entry.path} arrived damaged (its hash is not {blob.name[:10]}…)"
        if again:
            raise HubError(f"{damaged}, twice: something between here and {endpoint()} changes it, perhaps a proxy.")
        raise TransientError(damaged)
    part.replace(blob)


@contextlib.contextmanager
def _alone(repository: Repository, entry: Entry) -> Iterator[None]:
    """Be the only one who fetches a file, the Hub's own libraries included; whoever is second waits, and says so."""
    place = cache_folder() / ".locks" / repository.folder.name / f"{entry.blob}.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process fetches {entry.path} of {repository.words}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_room(repository: Repository, wanted: Sequence[Entry]) -> None:
    """Refuse before anything is fetched where the disk has no room for it."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    needed = sum(entry.size - _size(_part(repository, entry)) for entry in wanted)
    free = shutil.disk_usage(cache_folder()).free
    if needed > free:
        raise HubError(
            f"it takes {size(needed)}, and {size(free)} are free at {cache_folder()}. HF_HOME names another place for "
            f"the cache."
        )


def _names(entries: Sequence[Entry]) -> str:
    """Return the first file's name, and how many more there are."""
    more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
    return f"{entries[0].path}{more}"
