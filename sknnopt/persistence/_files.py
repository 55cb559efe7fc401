"""Saving to a file and loading from one."""

import json
import os
import secrets
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as as_safetensors
from sklearn.utils.validation import check_is_fitted

from sknnopt._version import __version__
from sknnopt.estimators import NNClassifier, NNRegressor
from sknnopt.persistence._errors import FileFormatError, require
from sknnopt.persistence._estimators import ESTIMATORS, RECORDS
from sknnopt.persistence._values import Reader, Writer, parse_json

KEY = "sknnopt"
"""Name of the one text among a file's arrays."""

FORMAT = 1
"""Version of the format; :func:`load` takes no other."""

VERSIONS = {
    "sknnopt": __version__, "torch": torch.__version__, "sklearn": sklearn.__version__, "numpy": np.__version__,
}  # fmt: skip
"""What a file was written with."""

_DTYPES = {
    "BOOL": np.bool_, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64, "U8": np.uint8,
    "U16": np.uint16, "U32": np.uint32, "U64": np.uint64, "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip


def save(estimator: NNClassifier | NNRegressor, path: str | os.PathLike[str]) -> None:
    """Save a fitted estimator to one safetensors file.

    Weights and statistics are its tensors; parameters and all else is JSON in its metadata. The file is there as a
    whole or not at all: it is written beside `path` and then takes its place.

    Parameters
    ----------
    estimator : NNClassifier or NNRegressor
        Fitted, with a built-in network and techniques of this package: what is code has no place in such a file. The
        directory of its `checkpoint` is left out: where to write is not for a file to say.
    path : str or path-like

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no NNClassifier or NNRegressor, or has what such a file cannot hold: a network of one's own,
        functions, callbacks, initial weights, a RandomState. pickle and joblib can store these.
    ValueError
        If a parameter has been set to what `fit` would refuse.

    Examples
    --------
    >>> import os, tempfile
    >>> import sknnopt
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = sknnopt.NNClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "iris.safetensors")
    ...     sknnopt.save(clf, path)
    ...     again = sknnopt.load(path)
    >>> bool((again.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    if type(estimator) not in ESTIMATORS:
        raise TypeError(
            f"Only NNClassifier and NNRegressor themselves can be saved. Got {type(estimator).__name__} instead. "
            "pickle, joblib and skops can store other estimators, and pipelines and searches with such in them."
        )
    check_is_fitted(estimator, "module_")
    estimator._check_params()
    data = _written(estimator)
    _read(data)  # what could not be loaded is not saved
    _replace(Path(os.path.realpath(path)), data)


def load(path: str | os.PathLike[str]) -> NNClassifier | NNRegressor:
    """Load an estimator that :func:`save` has saved.

    It predicts with the very bits of the one that was saved, and goes on training where that one would. Nothing in the
    file is run, and none of its names is imported: the types that it may name are a closed list, and all that it holds
    is checked before it is used.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    NNClassifier or NNRegressor
        With all tensors on the CPU, wherever it was trained.

    Raises
    ------
    FileFormatError
        A ``ValueError``: if the file is not one that `save` has written, or of another version of the format.
    OSError
        If the file cannot be read.
    """
    data = Path(path).read_bytes()
    try:
        return _read(data)
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)!r} cannot be loaded: {error}") from error.__cause__


class _Content(NamedTuple):
    """What a file holds: its one text, and its arrays."""

    document: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def _written(estimator: Any) -> bytes:
    writer = Writer(RECORDS)
    document = {
        "format": FORMAT,
        "versions": VERSIONS,
        "estimator": writer.encode(estimator, ""),
    }
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    data: bytes = as_safetensors(writer.arrays, {KEY: text})
    return data


def _replace(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _read(data: bytes) -> Any:
    try:
        content = _content(data)
        reader = Reader(dict(RECORDS.values()), content.arrays)
        with np.errstate(all="ignore"):  # checks tell of numbers out of range in words of their own
            estimator = reader.decode(content.document["estimator"], "estimator")
        require(type(estimator) in ESTIMATORS, "estimator must be an NNClassifier or NNRegressor")
        reader.end()
    except FileFormatError:
        raise
    except Exception as error:  # what no check has foreseen is no reason to trust the rest
        raise FileFormatError(f"its content makes no estimator ({type(error).__name__}: {error})") from error
    return estimator


def _content(data: bytes) -> _Content:
    """Return what is in a safetensors file."""
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise FileFormatError(f"it is no safetensors file ({error})") from error
    size = int.from_bytes(data[:8], "little")
    header = parse_json(data[8 : 8 + size].decode("utf-8"), "the header")
    metadata = header.get("__metadata__")
    require(isinstance(metadata, dict) and KEY in metadata, "it is a safetensors file, but not one of sknnopt")
    require(len(metadata) == 1, "its metadata holds more than the estimator")
    document = parse_json(metadata[KEY], "the metadata")
    require(isinstance(document, dict), "the metadata must be an object")
    require(document.get("format") == FORMAT, f"its format is not {FORMAT}, but {document.get('format')!r:.80}")
    require(document.keys() == {"format", "versions", "estimator"}, "the metadata has other keys than it should")
    versions = document["versions"]
    known = isinstance(versions, dict) and versions.keys() == VERSIONS.keys()
    require(known and all(type(one) is str for one in versions.values()), "the versions are no names of versions")
    return _Content(document, {name: _array(name, one) for name, one in tensors})


def _array(name: str, tensor: dict[str, Any]) -> NDArray[Any]:
    require(tensor["dtype"] in _DTYPES, f"the array {name!r:.80} is of the unknown type {tensor['dtype']}")
    flat = np.frombuffer(tensor["data"], np.dtype(_DTYPES[tensor["dtype"]]).newbyteorder("<"))
    return flat.astype(flat.dtype.newbyteorder("="), copy=True).reshape(tensor["shape"])
