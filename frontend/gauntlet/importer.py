"""import_model: model.onnx -> model.torch_onnx.mlir and import.json, by torch-mlir's own importer.

The steps and their order are those of iree.compiler.tools.import_onnx with --opset-version, so that
both ways of running a test see the same MLIR. We differ where that tool cannot do what is asked: it
raises no opset of models past protobuf's limit, and it takes the first opset of a model for ONNX's
own, so that it fails on, or lowers, a model whose first opset is of another domain.
"""

import contextlib
import importlib.metadata
import os
import platform
import sys

import onnx
import onnx.checker
import onnx.external_data_helper
import onnx.shape_inference
import onnx.version_converter
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from iree.compiler import ir
from iree.compiler.extras import onnx_importer

from gauntlet import files, worker
from gauntlet.failure import Failure, describe, outside

# Past this the checker and the shape inference refuse a model in memory.
IN_MEMORY_MAX = onnx.checker.MAXIMUM_PROTOBUF

_context = None


def warm_up():
    """Pay once, before any fork, for what every import needs. Leaves the process at one thread."""
    global _context
    _context = ir.Context()
    # An old operator, so that the converter's tables are filled too.
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 13]>'
        "warm (float[N] x) => (float[N] y) { y = Abs(x) }"
    )
    onnx.checker.check_model(model)
    _to_module(_infer(_raise_opset(model, 21)))


def identity():
    """What the host tells the runner about itself."""
    compiler = importlib.metadata.version("iree-base-compiler")
    return {
        "name": "frontend",
        "version": onnx.__version__,
        "build": f"frontend {_own_hash()}, Python {platform.python_version()}, "
                 f"iree-base-compiler {compiler}",
        "path": sys.executable,
    }


def _own_hash():
    """Of our own code: names and contents of all files of this package."""
    folder = os.path.dirname(os.path.abspath(__file__))
    code = bytearray()
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            with open(os.path.join(folder, name), "rb") as f:
                data = f.read()
            code += f"{name} {len(data)}\n".encode() + data
    return worker.hash_bytes(bytes(code))[:16]


def import_model(folder, target_opset, in_memory_max=None):
    """Serve the stage in `folder`. Returns (written, detail)."""
    limit = IN_MEMORY_MAX if in_memory_max is None else in_memory_max
    record = os.path.join(folder, "import.json")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(record)  # it vouches for the MLIR, which is about to change
    path = os.path.join(folder, "model.onnx")
    model = load_skeleton(path)
    if not model.opset_import:
        raise Failure("bad_data", "model.onnx names no opset")
    for number, entry in enumerate(model.opset_import):
        _check_text(entry, f"opset_import[{number}]")
    try:
        return _import(folder, model, target_opset, limit)
    except BaseException as error:
        # Strings that are not UTF-8 come from protobuf as bytes, which some code takes and some not.
        if isinstance(error.__cause__ or error, (TypeError, UnicodeError)):
            _check_text(model)
        raise


def _import(folder, model, target_opset, limit):
    path = os.path.join(folder, "model.onnx")
    before = opset_of(model)
    base = _data_folder(path, model)
    if _total_size(path, base, model) < limit:
        model = _prepare_in_memory(model, base, target_opset)
    else:
        model = _prepare_by_path(path, model, base, target_opset)
    name = model.graph.name
    if "\0" in name:
        raise Failure("unsupported", "the graph's name holds a zero byte: no function is called so")
    module = _to_module(model)
    text = os.path.join(folder, "model.torch_onnx.mlir")
    with files.appearing(text) as temporary, open(temporary, "wb") as f:
        module.print(file=f, binary=True, assume_verified=True)
        f.write(b"\n")
    facts = {
        "format": 1,
        "function": name,
        "opset_before": before,
        "opset_after": opset_of(model),
        "ir_version": model.ir_version,
    }
    files.write_json(os.path.join(folder, "import.json"), facts)
    return ["model.torch_onnx.mlir", "import.json"], facts


def load_skeleton(path):
    """The model without its external data."""
    try:
        return onnx.load(path, load_external_data=False)
    except FileNotFoundError:
        raise Failure("not_found", f"there is no model '{path}'") from None
    except DecodeError as error:
        raise Failure("bad_data", f"model.onnx is not an ONNX model: {describe(error)}") from None


# What a model says of itself to people: nothing of it is imported.
_REMARKS = {"doc_string", "producer_name", "producer_version", "metadata_props"}


def _check_text(message, where=""):
    """Name the first string that is not UTF-8."""
    for field, value in message.ListFields():
        if field.name in _REMARKS or field.cpp_type not in _TEXT_OR_MORE:
            continue
        if field.type == field.TYPE_BYTES:
            continue
        path = f"{where}{'.' if where else ''}{field.name}"
        items = enumerate(value) if _is_repeated(field) else ((None, value),)
        for number, item in items:
            place = path if number is None else f"{path}[{number}]"
            if field.type == field.TYPE_MESSAGE:
                _check_text(item, place)
            elif isinstance(item, bytes):
                what = "the graph's name" if place == "graph.name" else f"the model's {place}"
                raise Failure("bad_data", f"{what} is not UTF-8: {item[:80]!r}")


def _is_repeated(field):
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


_TEXT_OR_MORE = (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_MESSAGE)


def opset_of(model):
    """Version of ONNX's own operators; of the first domain if the model uses none of them."""
    versions = {entry.domain: entry.version for entry in reversed(model.opset_import)}
    own = versions.get("", versions.get("ai.onnx"))
    return model.opset_import[0].version if own is None else own


def tensors_of(model):
    """Every TensorProto of a model, those of nested graphs and functions too."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                graphs.append(attribute.g)
            graphs.extend(attribute.graphs)


def external_locations(model):
    """The files beside the model that hold its external tensors, each once, in order."""
    found = {}
    for tensor in tensors_of(model):
        if onnx.external_data_helper.uses_external_data(tensor):
            info = onnx.external_data_helper.ExternalDataInfo(tensor)
            found[info.location] = None
    return list(found)


def _data_folder(path, model):
    """Where external data lies: beside the model, or beside what the model is a link to."""
    here, target = os.path.dirname(path), os.path.dirname(os.path.realpath(path))
    beside = (os.path.lexists(os.path.join(here, name)) for name in external_locations(model))
    return here if all(beside) else target


def _total_size(path, base, model):
    total = os.path.getsize(path)
    for name in external_locations(model):
        with contextlib.suppress(OSError):  # a missing file is reported when it is loaded
            total += os.path.getsize(os.path.join(base, name))
    return total


def _raise_opset(model, target):
    """Raise, never lower. Models of other domains only have nothing to raise."""
    before = opset_of(model)
    if before >= target or not any(entry.domain in ("", "ai.onnx") for entry in model.opset_import):
        return model
    with outside(f"raising the opset from {before} to {target}"):
        return onnx.version_converter.convert_version(model, target)


def _infer(model):
    with outside("shape inference"):
        return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _load_data(model, base):
    with outside("external data", code="bad_data"):
        onnx.external_data_helper.load_external_data_for_model(model, base)


def _prepare_in_memory(model, base, target):
    _load_data(model, base)
    model = _raise_opset(model, target)
    with outside("check of the model"):
        onnx.checker.check_model(model)
    return _infer(model)


def _prepare_by_path(path, model, base, target):
    """The same for a model that is too big for one message: its data stays outside throughout."""
    with outside("check of the model"):
        # By the link's target, where the checker finds the data.
        onnx.checker.check_model(path if base == os.path.dirname(path) else os.path.realpath(path))
    model = _raise_opset(model, target)
    raised = files.temporary_name(path)
    inferred = files.temporary_name(raised)
    try:
        onnx.save(model, raised)
        with outside("shape inference"):
            onnx.shape_inference.infer_shapes_path(raised, inferred, data_prop=True)
        model = onnx.load(inferred, load_external_data=False)
    finally:
        for name in (raised, inferred):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
    _load_data(model, base)
    return model


def _to_module(model):
    with outside("import"):
        info = onnx_importer.ModelInfo(model)
        module = info.create_module(context=_context).operation
        onnx_importer.NodeImporter.define_function(info.main_graph, module).import_all()
    with outside("check of the imported module"):
        module.verify()
    return module
