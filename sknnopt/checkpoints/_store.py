"""A directory of checkpoints, which several processes may write to."""

import os
import re
import secrets
import threading
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from sknnopt._compat import InvalidParameterError
from sknnopt._threads import after_fork
from sknnopt.checkpoints import _files
from sknnopt.checkpoints._files import DamagedFile, Entry

MOST_BYTES = 1 << 28
"""Bytes of finished fits that are kept in memory until the next write, at most."""

SHARE = 1 / 50
"""Share of the time that writing may take: after a write the next one waits so much longer than it took."""

OLD = 86_400.0
"""Seconds after which what an interrupted write has left is cleared away."""

_FINAL, _RUNNING = "final", "running"
_NAME = re.compile(rf"sknnopt-[0-9a-f]+-({_FINAL}|{_RUNNING})-\d+\.safetensors")
_PART = re.compile(rf"\.{_NAME.pattern}\.part")


class CheckpointWarning(UserWarning):
    """Given where a fit is not checkpointed, or a checkpoint cannot be used."""


class Clock:
    """Says when it is time to write: after an interval, and not before the last write has been made up for.

    Parameters
    ----------
    interval : float
        Seconds.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._next = time.monotonic() + interval

    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._next

    def wrote(self, began: float) -> None:
        """Note the end of a write."""
        now = time.monotonic()
        self._next = now + max(self._interval, (now - began) / SHARE)


class Store:
    """The checkpoints of a directory.

    Files are never changed: those of finished fits stay, those of fits that run are replaced by newer ones. A process
    writes under a name of its own, so that none overwrites what is another's.

    Parameters
    ----------
    directory : Path
        Made if it is not there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writer = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._files: dict[Path, tuple[int, dict[str, bool]]] = {}
        self._pending: dict[str, Entry] = {}
        self._bytes = self._written = self._slots = 0
        self._clock: Clock | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidParameterError(
                f"The 'checkpoint' parameter must be a directory, or where one can be made. Got {str(directory)!r} "
                f"instead: {error}."
            ) from error

    def find(self, key: str) -> Entry | None:
        """Return what is known under a key, as far as it is as it was written; what is not is set aside."""
        with self._lock:
            if key in self._pending:
                return self._pending[key]
            for _ in range(2):  # another process may replace a file between its list and its content
                self._refresh()
                places = [(known[key], time, path) for path, (time, known) in self._files.items() if key in known]
                for *_, path in sorted(places, reverse=True):  # one that is final, or else the newest
                    entry = self._read(path, key)
                    if entry is not None:
                        return entry
        return None

    def add(self, entries: Sequence[Entry], interval: float, *, now: bool = False) -> None:
        """Take in finished fits, which are written when it is time, or `now`."""
        with self._lock:
            for entry in entries:
                self._pending[entry.key] = entry
                self._bytes += sum(value.nbytes for value in entry.tensors.values())
            if self._clock is None:
                self._clock = Clock(interval)
            if now or self._clock.due() or self._bytes > MOST_BYTES:
                self._flush(self._clock)

    def slot(self) -> "Slot":
        """Return a place for fits that run side by side."""
        with self._lock:
            self._slots += 1
            return Slot(self, self._path(_RUNNING, self._slots))

    def write_running(self, path: Path, entries: Sequence[Entry]) -> bool:
        """Write how far fits are that run, in the place of what was written of them before.

        Those of them that have finished since are written first, so that they are always on the disk.
        """
        with self._lock:
            if self._pending and self._clock is not None:
                self._flush(self._clock)
            return self._write(path, entries)

    def _path(self, kind: str, number: int) -> Path:
        return self._directory / f"sknnopt-{self._writer}-{kind}-{number}.safetensors"

    def _flush(self, clock: Clock) -> None:
        began = time.monotonic()
        self._written += 1
        written = self._write(self._path(_FINAL, self._written), list(self._pending.values()))
        if written or self._bytes > MOST_BYTES:  # what cannot be written is not to fill the memory
            self._pending, self._bytes = {}, 0
        clock.wrote(began)

    def _write(self, path: Path, entries: Sequence[Entry]) -> bool:
        """Write a file and clear away those that it makes superfluous; a disk that is full ends no training."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            _files.write(path, entries)
            self._files[path] = path.stat().st_mtime_ns, {entry.key: entry.final for entry in entries}
        except OSError as error:
            warnings.warn(
                f"A checkpoint could not be written to {str(self._directory)!r}, training goes on: {error}",
                CheckpointWarning,
                stacklevel=2,
            )
            return False
        self._clear(path)
        return True

    def _clear(self, newest: Path) -> None:
        """Remove files of running fits that are all known better by others."""
        done = {key for _, known in self._files.values() for key, final in known.items() if final}
        done |= self._files[newest][1].keys()
        for path, (_, known) in list(self._files.items()):
            if path != newest and not any(known.values()) and known.keys() <= done:
                with suppress(OSError):  # another process may be reading it
                    path.unlink(missing_ok=True)
                del self._files[path]

    def _refresh(self) -> None:
        """Look what is in the directory."""
        there = dict(self._listed())
        for path in self._files.keys() - there.keys():
            del self._files[path]
        for path, stamp in there.items():
            if path not in self._files or self._files[path][0] != stamp:
                try:
                    self._files[path] = stamp, _files.keys(path)
                except DamagedFile as error:
                    self._set_aside(path, error)
                except OSError:
                    self._files.pop(path, None)

    def _listed(self) -> Iterable[tuple[Path, int]]:
        try:
            with os.scandir(self._directory) as entries:
                found = list(entries)
        except OSError:  # one that has gone is made again when there is something to write
            return
        for entry in found:
            with suppress(OSError):
                if _NAME.fullmatch(entry.name) and entry.is_file():
                    yield Path(entry.path), entry.stat().st_mtime_ns
                elif _PART.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > OLD:
                    Path(entry.path).unlink(missing_ok=True)

    def _read(self, path: Path, key: str) -> Entry | None:
        try:
            return _files.read(path, key)
        except DamagedFile as error:
            self._set_aside(path, error)
        except OSError:
            self._files.pop(path, None)
        return None

    def _set_aside(self, path: Path, error: DamagedFile) -> None:
        self._files.pop(path, None)
        aside = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(aside)
        except FileNotFoundError:  # another process has done so
            return
        except OSError as why:
            where = f"It cannot be renamed ({why})"
        else:
            where = f"It is now {aside.name!r}"
        warnings.warn(
            f"The checkpoint {str(path)!r} is not used: {error}. {where}; what was in it is trained again.",
            CheckpointWarning,
            stacklevel=2,
        )


class Slot:
    """Where fits that run side by side are written, the newest in the place of the one before.

    Parameters
    ----------
    store : Store
    path : Path

    Attributes
    ----------
    written : bool
        Whether there is a file.
    """

    def __init__(self, store: Store, path: Path) -> None:
        self._store, self._path = store, path
        self.written = False

    def write(self, entries: Sequence[Entry]) -> None:
        """Write how far they are."""
        self.written = self._store.write_running(self._path, entries) or self.written


class _Stores:
    """The stores of a process, by directory."""

    def __init__(self) -> None:
        self.begin()
        after_fork(self.begin)

    def begin(self) -> None:
        """Know none, as a forked process does, which must not write under its parent's names."""
        self._known: dict[str, Store] = {}
        self._lock = threading.Lock()

    def of(self, directory: str | os.PathLike[str]) -> Store:
        """Return the store of a directory."""
        path = os.path.realpath(os.path.expanduser(directory))
        with self._lock:
            if path not in self._known:
                self._known[path] = Store(Path(path))
            return self._known[path]


store_of = _Stores().of
