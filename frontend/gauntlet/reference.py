"""ONNX Runtime for test classes: one thread, CPU, no telemetry. Imported only in a job's child."""

import ctypes
import os

import numpy as np


def run(model_path, inputs):
    """All outputs of a model for inputs in the order of its signature, as numpy arrays."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort
    from onnx import helper

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()
    if len(wanted) != len(inputs):
        raise ValueError(f"the model has {len(wanted)} inputs, {len(inputs)} arrays were given")
    feeds = {}
    for port, array in zip(wanted, inputs):
        array = np.asarray(array, order="C")
        number = helper.np_dtype_to_tensor_dtype(array.dtype)
        feeds[port.name] = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, number)
    names = [port.name for port in session.get_outputs()]
    return [_to_numpy(value) for value in session.run_with_ort_values(names, feeds)]


def _to_numpy(value):
    from onnx import TensorProto, helper

    if not value.is_tensor():
        raise TypeError(f"an output is a {value.data_type()}, and only tensors are carried")
    number = value.element_type()
    if number == TensorProto.STRING:
        return value.numpy()
    # By bytes, since numpy() of ONNX Runtime refuses bfloat16 and its like.
    dtype, dims = helper.tensor_dtype_to_np_dtype(number), value.shape()
    size = value.tensor_size_in_bytes()
    data = bytearray(ctypes.string_at(value.data_ptr(), size) if size else b"")
    return np.frombuffer(data, dtype=dtype).reshape(dims)
