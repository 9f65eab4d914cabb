"""Tests written as Python classes: run with `gauntlet run --suite examples/scaled_gelu.py`.

A small classifier head: logits = gelu(x * scale) @ weight. The golden outputs come from numpy, so
they do not depend on ONNX Runtime; what is compared is what a user of such a model looks at.
"""

import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from gauntlet import OnnxTest, register

ROWS, FEATURES, CLASSES = 4, 32, 10


class ScaledGelu(OnnxTest):
    """Each channel is scaled, then GELU, then a matrix product."""

    approximate = "none"

    def construct_model(self):
        # Kept for forward(), which is called on the same object.
        self.scale = self.rng.uniform(0.5, 2.0, FEATURES).astype(np.float32)
        self.weight = self.rng.standard_normal((FEATURES, CLASSES)).astype(np.float32)
        nodes = [
            helper.make_node("Mul", ["x", "scale"], ["scaled"]),
            helper.make_node("Gelu", ["scaled"], ["hidden"], approximate=self.approximate),
            helper.make_node("MatMul", ["hidden", "weight"], ["logits"]),
        ]
        graph = helper.make_graph(
            nodes,
            "scaled_gelu",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [ROWS, FEATURES])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [ROWS, CLASSES])],
            [
                numpy_helper.from_array(self.scale, "scale"),
                numpy_helper.from_array(self.weight, "weight"),
            ],
        )
        # Pinned: the newest opset of the installed onnx may be one that a compiler does not know.
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def construct_inputs(self):
        return [self.rng.standard_normal((ROWS, FEATURES)).astype(np.float32)]

    def forward(self, inputs):
        x = inputs[0].astype(np.float64) * self.scale
        hidden = 0.5 * x * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))
        return [(hidden @ self.weight).astype(np.float32)]


register("scaled_gelu")(ScaledGelu)


@register("scaled_gelu_top3")
class ScaledGeluTop3(ScaledGelu):
    """The same, judged by the three best classes of each row and their scores."""

    def apply_postprocessing(self, outputs):
        logits = outputs[0]
        best = np.argsort(-logits, axis=1, kind="stable")[:, :3]
        return [best.astype(np.int64), np.take_along_axis(logits, best, axis=1)]


@register("scaled_gelu_tanh")
class ScaledGeluTanh(ScaledGelu):
    """The tanh approximation, with generated inputs and ONNX Runtime as the reference."""

    approximate = "tanh"

    def construct_inputs(self):
        return None  # the built-in generator

    def forward(self, inputs):
        return OnnxTest.forward(self, inputs)
