"""One file of a checkpoint directory: safetensors, each entry with a checksum of its own."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

KEY = "sknnopt checkpoint"
"""Name of the one text among a file's tensors."""

FORMAT = 1
"""Version of the format; files of another one are not read."""

DOCUMENT = "document"
"""Name of the tensor of bytes that holds an entry's JSON."""


class DamagedFile(ValueError):
    """Raised for a file that is not what was written."""


@dataclass
class Entry:
    """What is kept of a fit, or of members that are trained together.

    Attributes
    ----------
    key : str
        Says of what; see :func:`~sknnopt.checkpoints.digest`.
    final : bool
        Whether it has been trained to its end.
    document : dict
        What JSON can hold.
    tensors : dict of str to Tensor
        On the CPU.
    """

    key: str
    final: bool
    document: dict[str, Any]
    tensors: dict[str, Tensor]


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Write a file as a whole or not at all, and for good: also if the power fails a moment later.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    listed = []
    for i, entry in enumerate(entries):
        own = _owned(entry)
        listed.append([entry.key, entry.final, _checksum(entry.key, entry.final, own)])
        tensors |= {f"{i}.{name}": value for name, value in own.items()}
    text = json.dumps({"format": FORMAT, "entries": listed})
    beside = path.with_name(f".{path.name}.part")
    try:
        save_file(tensors, beside, {KEY: text})
        _sync(beside)
        beside.replace(path)
        _sync(path.parent)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, SafetensorError):  # as it calls a disk that is full, or a directory that is gone
            raise OSError(str(error)) from None
        raise


def keys(path: Path) -> dict[str, bool]:
    """Return the keys of a file's entries, and whether they are final.

    Raises
    ------
    DamagedFile
        If it is not what `write` has written, as far as its head shows.
    OSError
        If it cannot be read.
    """
    with _opened(path) as file:
        return {key: final for key, final, _ in _listed(file)}


def read(path: Path, key: str) -> Entry | None:
    """Return an entry, None if the file has it not.

    Raises
    ------
    DamagedFile
        If anything of it is not as it was written.
    OSError
        If the file cannot be read.
    """
    with _opened(path) as file:
        for i, (own, final, checksum) in enumerate(_listed(file)):
            if own == key:
                names = [name for name in file.keys() if name.startswith(f"{i}.")]  # noqa: SIM118
                tensors = {name.partition(".")[2]: file.get_tensor(name).clone() for name in names}
                if _checksum(key, final, tensors) != checksum:
                    raise DamagedFile("its checksum does not fit")
                document = json.loads(tensors.pop(DOCUMENT).numpy().tobytes())
                return Entry(key, final, document, tensors)
    return None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file, whose errors are ours."""
    with path.open("rb"):  # what is not there, or may not be read, is not damaged
        pass
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (DamagedFile, OSError):
        raise
    except SafetensorError as error:
        raise DamagedFile(f"it is no safetensors file ({error})") from None
    except Exception as error:
        raise DamagedFile(f"its content makes no sense ({type(error).__name__}: {error})") from None


def _listed(file: Any) -> list[tuple[str, bool, str]]:
    metadata: Mapping[str, str] = file.metadata() or {}
    if KEY not in metadata:
        raise DamagedFile("it is a safetensors file, but no checkpoint of sknnopt")
    head = json.loads(metadata[KEY])
    if head["format"] != FORMAT:
        raise DamagedFile(f"its format is not {FORMAT}, but {head['format']!r:.80}")
    return [(str(key), bool(final), str(checksum)) for key, final, checksum in head["entries"]]


def _owned(entry: Entry) -> dict[str, Tensor]:
    """Return an entry's tensors, each in memory of its own, with the document as one of them."""
    text = json.dumps(entry.document).encode()
    out = {DOCUMENT: torch.from_numpy(np.frombuffer(text, np.uint8).copy())}
    places = set()
    for name, value in entry.tensors.items():
        shared = value.numel() and value.untyped_storage().data_ptr() in places
        whole = value.is_contiguous() and value.untyped_storage().nbytes() == value.nbytes
        out[name] = value if whole and not shared else value.clone(memory_format=torch.contiguous_format)
        places.add(out[name].untyped_storage().data_ptr())
    return out


def _checksum(key: str, final: bool, tensors: Mapping[str, Tensor]) -> str:
    own = hashlib.blake2b(f"{key} {final} ".encode(), digest_size=16)
    for name, value in sorted(tensors.items()):
        own.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        if value.numel():
            own.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return own.hexdigest()


def _sync(path: Path) -> None:
    """Wait until a file, or a directory's list of files, is on the disk."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
