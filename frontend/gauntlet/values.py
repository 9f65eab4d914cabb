"""Value files: <stem>.json and <stem>.N.bin, the same format as tensor/values.c."""

import contextlib
import math
import os
import re

import numpy as np
from onnx import TensorProto, helper

from gauntlet import files, worker
from gauntlet.failure import Failure

# Element types that every stage carries: those marked `comparable` in tensor/dtype.c.
_CARRIED = frozenset((
    "float uint8 int8 uint16 int16 int32 int64 bool float16 double uint32 uint64 bfloat16"
).split())


def type_name(dtype):
    """ONNX's name of a numpy element type, in lower case; Failure if there is none."""
    try:
        return TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(dtype)).lower()
    except (ValueError, KeyError, TypeError):
        raise Failure("unsupported", f"there is no ONNX type for numpy's {dtype}") from None


def _numpy_type(name):
    if name not in _CARRIED:
        raise Failure("unsupported", f"element type {name} is not carried by this version")
    return np.dtype(helper.tensor_dtype_to_np_dtype(TensorProto.DataType.Value(name.upper())))


def as_arrays(values, hook):
    """What a hook returned, as a list of arrays that can be stored."""
    if not isinstance(values, (list, tuple)):
        kind = type(values).__name__
        raise Failure("bad_usage", f"{hook} must return a list of numpy arrays, not {kind}")
    arrays = []
    for i, value in enumerate(values):
        if not isinstance(value, (np.ndarray, np.generic)):
            kind = type(value).__name__
            raise Failure("bad_usage", f"{hook} must return numpy arrays, but item {i} is {kind}")
        name = type_name(value.dtype.newbyteorder("="))
        if name not in _CARRIED:
            raise Failure(
                "unsupported",
                f"item {i} of {hook} has element type {name}, which this version does not carry")
        arrays.append(np.asarray(value, dtype=_numpy_type(name), order="C"))
    return arrays


def save(folder, stem, names, arrays):
    """Write a set of values; the .json comes last. Returns the file names."""
    record = os.path.join(folder, stem + ".json")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(record)  # first, so that no moment has an old record beside new bytes
    old = re.compile(re.escape(stem) + r"\.(0|[1-9][0-9]{0,8})\.bin\Z")
    for name in os.listdir(folder):
        match = old.match(name)
        if match and int(match[1]) >= len(arrays):
            os.unlink(os.path.join(folder, name))
    written, values = [], []
    for i, (name, array) in enumerate(zip(names, arrays)):
        file, data = f"{stem}.{i}.bin", array.tobytes()
        files.write_bytes(os.path.join(folder, file), data)
        written.append(file)
        values.append({
            "name": name,
            "kind": "tensor",
            "type": type_name(array.dtype),
            "dims": list(array.shape),
            "file": file,
            "bytes": len(data),
            "hash": worker.hash_bytes(data),
        })
    files.write_json(record, {"format": 1, "values": values})
    return written + [stem + ".json"]


def load(folder, stem):
    """Read a set back: (names, arrays, signless). Sizes and hashes must be those recorded."""
    record = files.read_json(os.path.join(folder, stem + ".json"), "list of values")
    if record.get("format") != 1 or not isinstance(record.get("values"), list):
        raise Failure("bad_data", f"{stem}.json is not a list of values of format 1")
    names, arrays, signless = [], [], []
    for i, value in enumerate(record["values"]):
        try:
            arrays.append(_load_one(folder, f"{stem}.{i}.bin", value))
            names.append(str(value["name"]))
            signless.append(value.get("signless") is True)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise Failure("bad_data", f"{stem}.json: value {i} is not complete") from None
        except Failure as failure:
            raise Failure(failure.code, f"{stem}.json: value {i}: {failure.message}") from None
    return names, arrays, signless


def _load_one(folder, file, value):
    if value["kind"] != "tensor":
        raise Failure("unsupported", f"a {value['kind']} cannot be given to a test class")
    dtype, dims = _numpy_type(value["type"]), value["dims"]
    if not all(type(d) is int and d >= 0 for d in dims):
        raise Failure("bad_data", "a dimension is not a number")
    if value["file"] != file:
        raise Failure("bad_data", f"its file is '{value['file']}' instead of '{file}'")
    try:
        with files.open_regular(os.path.join(folder, file)) as f:
            data = f.read()
    except FileNotFoundError:
        raise Failure("not_found", f"there is no file '{file}'") from None
    size = math.prod(dims) * dtype.itemsize
    if len(data) != size:
        raise Failure(
            "bad_data", f"'{file}' has {len(data)} bytes, but its type and shape need {size}")
    if worker.hash_bytes(data) != value["hash"]:
        raise Failure("bad_data", f"'{file}' was changed since it was recorded")
    if dtype.kind == "b" and max(data, default=0) > 1:
        raise Failure("bad_data", f"'{file}' holds a bool that is neither 0 nor 1")
    return np.frombuffer(bytearray(data), dtype=dtype).reshape(dims)  # writable, for the hooks


def fit_signs(arrays, signless, golden):
    """IREE knows no signs: an integer from it takes the sign of its golden counterpart."""
    fitted = []
    for i, array in enumerate(arrays):
        want = golden[i].dtype if i < len(golden) and signless[i] else array.dtype
        same = want.kind in "iu" and array.dtype.kind in "iu" and want.itemsize == array.itemsize
        fitted.append(array.view(want) if same else array)
    return fitted


def ports(model):
    """(inputs, outputs) of a model, without inputs that are initializers."""
    constants = {t.name for t in model.graph.initializer}
    return [p for p in model.graph.input if p.name not in constants], list(model.graph.output)


def check_against(arrays, wanted, hook, what):
    """Refuse arrays that do not fit the model's inputs or outputs by number, type or shape."""
    if len(arrays) != len(wanted):
        names = ", ".join(p.name for p in wanted)
        count = f"{len(arrays)} arrays, but the model has {len(wanted)} {what}s: {names}"
        raise Failure("mismatch", f"{hook} returned {count}")
    for i, (array, port) in enumerate(zip(arrays, wanted)):
        place = f"{hook}: {what} {i} ({port.name})"
        if port.type.WhichOneof("value") != "tensor_type":
            raise Failure("unsupported", f"{place} of the model is no tensor")
        tensor = port.type.tensor_type
        want, have = TensorProto.DataType.Name(tensor.elem_type).lower(), type_name(array.dtype)
        if have != want:
            raise Failure("mismatch", f"{place} is {have}, but the model says {want}")
        if not tensor.HasField("shape"):
            continue
        dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
        if len(dims) != array.ndim or any(d not in (None, n) for d, n in zip(dims, array.shape)):
            raise Failure(
                "mismatch",
                f"{place} has shape {_shape(array.shape)}, but the model says {_shape(dims)}")


def _shape(dims):
    return "x".join("?" if d is None else str(d) for d in dims) or "scalar"
