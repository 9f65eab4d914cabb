"""Models of every kind through all stages. One run serves all questions about it."""

import os
import unittest

import numpy as np
from onnx import TensorProto as T
from onnx import helper, numpy_helper

import support
from support import FLOAT, binary, model, tensor, unary, write_test

X = np.array([[1, -2, 3], [4, 5, -6]], np.float32)
INTEGERS = ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]
FLOATS = ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"]


def all_types():
    """One model for all types: each is handed through and, where ONNX can, computed with."""
    nodes, inputs, outputs = [], [], []
    for name in [*INTEGERS, *FLOATS, "BOOL"]:
        kind, low = getattr(T, name), name.lower()
        nodes.append(helper.make_node("Identity", [f"x_{low}"], [f"same_{low}"]))
        inputs.append(tensor(f"x_{low}", kind, [2, 3]))
        outputs.append(tensor(f"same_{low}", kind, [2, 3]))
        if name == "BOOL":
            nodes.append(helper.make_node("Not", [f"x_{low}"], [f"not_{low}"]))
            outputs.append(tensor(f"not_{low}", kind, [2, 3]))
        elif name != "BFLOAT16":  # ONNX Runtime's CPU provider has no arithmetic for it
            nodes.append(helper.make_node("Add", [f"x_{low}", f"x_{low}"], [f"sum_{low}"]))
            outputs.append(tensor(f"sum_{low}", kind, [2, 3]))
    return model(nodes, inputs, outputs, name="types")


def with_external_data(location):
    """x + c, with c in a file of its own; returns (model, bytes of the file)."""
    constant = numpy_helper.from_array(X, "c")
    proto = model([helper.make_node("Add", ["x", "c"], ["y"])], [tensor("x", FLOAT, [2, 3])],
                  [tensor("y", FLOAT, [2, 3])], [constant])
    stored = proto.graph.initializer[0]
    data = stored.raw_data
    stored.ClearField("raw_data")
    stored.data_location = T.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(data)))):
        entry = stored.external_data.add()
        entry.key, entry.value = key, value
    return proto, data


def renamed(proto, name):
    proto.graph.name = name
    return proto


class Models(support.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_models()
        cls.ran, cls.run_ = cls.run_tests("run", "--suite", "suite", "-d", "local-sync",
                                          "--dim", "N=4", "--dim", "x[1]=5", code=1)

    @classmethod
    def make(cls, name, proto, *sets):
        return write_test(cls.path("suite", name), proto, *sets)

    @classmethod
    def make_external(cls, name, location, file=None):
        proto, data = with_external_data(location)
        folder = cls.make(name, proto)
        if file:
            path = os.path.join(folder, file)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)
        return folder, data

    @classmethod
    def make_models(cls):
        cls.make("types", all_types())
        cls.make("dynamic", model([helper.make_node("Abs", ["x"], ["y"])],
                                  [tensor("x", FLOAT, ["N", None, 3])],
                                  [tensor("y", FLOAT, ["N", None, 3])]))
        cls.make("dynamic_unknown", unary("Abs", shape=["M", 3]))
        cls.make("dynamic_stored", unary("Abs", shape=["M", None]), ([X], None))
        cls.make("nan", unary("Log"),
                 ([np.array([[-1, 0, 1], [np.nan, np.inf, -np.inf]], np.float32)], None))
        cls.make("two_sets", unary("Abs"), ([X], [abs(X)]), ([2 * X], [2 * X]))
        cls.make("no_inputs", model(
            [helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(X))], [],
            [tensor("y", FLOAT, [2, 3])]))
        cls.make("zero_size", unary("Abs", shape=[0, 3]))
        cls.make("scalar", unary("Abs", shape=[]))
        cls.make("old_opset", unary("Abs", opset=6))
        cls.make("odd_graph_name", renamed(unary("Abs"), 'a b"c\n$(d)%41'))
        cls.make("no_graph_name", renamed(unary("Abs"), ""))
        cls.make("default_input", model(
            [helper.make_node("Add", ["x", "c"], ["y"])],
            [tensor("x", FLOAT, [2, 3]), tensor("c", FLOAT, [2, 3])],
            [tensor("y", FLOAT, [2, 3])], [numpy_helper.from_array(X, "c")]))
        cls.make("garbage", b"this is not a model\n")
        cls.make("empty", b"")
        cls.make("unknown_operator", unary("NoSuchOperator"))
        cls.make("wrong_input", unary("Abs"), ([X.reshape(3, 2)], None))
        cls.make("wrong_input_type", unary("Abs"), ([X.astype(np.float64)], None))
        cls.make("too_many_inputs", unary("Abs"), ([X, X], None))
        folder = cls.make("garbage_data", unary("Abs"), ([X], [X]))
        with open(os.path.join(folder, "test_data_set_0", "input_0.pb"), "wb") as f:
            f.write(b"\xff\xff\xff garbage")

        text = np.array(["a", "b"], object)
        cls.make("strings", unary("Identity", T.STRING, [2]), ([text], [text]))
        cls.make("complex", unary("Identity", T.COMPLEX64))
        cls.make("float8", unary("Identity", T.FLOAT8E4M3FN))
        cls.make("int4", unary("Identity", T.INT4))
        cls.make("sequence", model(
            [helper.make_node("SequenceAt", ["x", "i"], ["y"])],
            [helper.make_tensor_sequence_value_info("x", FLOAT, [2]), tensor("i", T.INT64, [])],
            [tensor("y", FLOAT, [2])]))

        cls.make_external("external", "some/weights.bin", "some/weights.bin")
        cls.make_external("external_outside", "../weights.bin", "../weights.bin")
        cls.make_external("external_hidden_outside", "some/../../weights.bin")
        cls.make_external("external_absolute", cls.path("suite", "weights.bin"))
        cls.make_external("external_missing", "weights.bin")
        folder, _ = cls.make_external("external_link", "weights.bin")
        os.symlink("../weights.bin", os.path.join(folder, "weights.bin"))
        folder, data = cls.make_external("external_linked_folder", "some/weights.bin")
        os.symlink("..", os.path.join(folder, "some"))
        folder, data = cls.make_external("external_short", "weights.bin", "weights.bin")
        with open(os.path.join(folder, "weights.bin"), "wb") as f:
            f.write(data[:5])
        for name in ("test.json", "input.0.bin", "data_set_1/x", "./stages.json"):
            cls.make_external("external_named_" + name.replace("/", "_"), name, name)

    def test_nothing_else_happened(self):
        self.assertEqual(self.ran.err, "")
        self.assertTrue(self.run_.results["complete"])

    def test_types(self):
        self.ends(self.run_, "types", "PASS")
        outputs = self.run_.json("types", "output.json")["values"]
        golden = self.run_.json("types", "golden_output.json")["values"]
        self.assertEqual([value["type"] for value in golden][:4], ["int8"] * 2 + ["int16"] * 2)
        self.assertEqual(len(outputs), len(golden))
        for ours, gold in zip(outputs, golden):
            self.assertEqual((ours["dims"], ours["bytes"]), (gold["dims"], gold["bytes"]))
            self.assertTrue(os.path.isfile(self.run_.file("types", ours["file"])))
        # Generated inputs are no constants, and integers are no rounded floats.
        for value in self.run_.json("types", "input.json")["values"]:
            with open(self.run_.file("types", value["file"]), "rb") as f:
                data = f.read()
            self.assertEqual(len(data), value["bytes"])
            self.assertGreater(len(set(data)), 1, value["name"])

    def test_double_stays_double(self):
        golden = self.run_.json("types", "golden_output.json")["values"]
        outputs = self.run_.json("types", "output.json")["values"]
        doubles = [i for i, value in enumerate(golden) if value["type"] == "double"]
        self.assertEqual(len(doubles), 2)
        self.assertEqual([outputs[i]["type"] for i in doubles], ["double"] * 2)
        flags = self.run_.json("types", "stages.json")["stages"]["compilation"]["detail"]["flags"]
        self.assertIn("--iree-input-demote-f64-to-f32=false", flags)

    def test_kinds_that_are_not_carried_say_so(self):
        for name, says in (("strings", "string"), ("complex", "complex64"),
                           ("float8", "float8e4m3fn"), ("int4", "int4")):
            with self.subTest(name):
                self.ends(self.run_, name, "construct_inputs", "unsupported", says)
        self.assertIn(self.run_.end("sequence"), [("construct_inputs", "unsupported"),
                                                  ("compilation", "error")])

    def test_dynamic_dimensions(self):
        self.ends(self.run_, "dynamic", "PASS")
        for stem in ("input", "output", "golden_output"):
            self.assertEqual(self.run_.json("dynamic", stem + ".json")["values"][0]["dims"],
                             [4, 5, 3])
        self.ends(self.run_, "dynamic_stored", "PASS")
        self.ends(self.run_, "dynamic_unknown", "construct_inputs",
                  says=["dimension 0 of input 'x'", "--dim 'M=SIZE'"])

    def test_odd_shapes(self):
        for name, dims in (("no_inputs", [2, 3]), ("zero_size", [0, 3]), ("scalar", [])):
            with self.subTest(name):
                self.ends(self.run_, name, "PASS")
                value = self.run_.json(name, "output.json")["values"][0]
                self.assertEqual(value["dims"], dims)
        self.assertEqual(self.run_.json("no_inputs", "input.json")["values"], [])

    def test_nan_and_infinity(self):
        self.ends(self.run_, "nan", "PASS")
        output = self.run_.json("nan", "comparison.json")["outputs"][0]
        self.assertEqual(output["nan"], {"output": 3, "gold": 3})
        self.assertEqual(output["inf"], {"output": 2, "gold": 2})

    def test_two_data_sets(self):
        self.ends(self.run_, "two_sets", "Numerics", "value", "data set 1: output 0 'y'")
        sets = [(o["set"], o["mismatches"])
                for o in self.run_.json("two_sets", "comparison.json")["outputs"]]
        self.assertEqual(sets, [(0, 0), (1, 2)])
        self.assertTrue(os.path.isfile(self.run_.file("two_sets", "data_set_1", "output.0.bin")))
        log = self.run_.text("two_sets", "inference_comparison.log")
        self.assertIn("data set 0\n", log)
        self.assertIn("data set 1\n", log)

    def test_opset_and_names(self):
        self.ends(self.run_, "old_opset", "PASS")
        facts = self.run_.json("old_opset", "import.json")
        self.assertEqual((facts["opset_before"], facts["opset_after"]), (6, 21))
        self.ends(self.run_, "odd_graph_name", "PASS")
        self.assertEqual(self.run_.json("odd_graph_name", "import.json")["function"],
                         'a b"c\n$(d)%41')
        self.ends(self.run_, "no_graph_name", "import_model", says="name")

    def test_initializer_that_is_an_input_too(self):
        self.ends(self.run_, "default_input", "PASS")
        self.assertEqual([v["name"] for v in self.run_.json("default_input", "input.json")["values"]],
                         ["x"])

    def test_broken_models(self):
        for name in ("garbage", "empty"):
            self.ends(self.run_, name, "setup", says=["cannot be read", f"{name}/model.onnx"])
        self.ends(self.run_, "unknown_operator", "import_model", says="NoSuchOperator")
        log = self.run_.text("unknown_operator", "import_model.log")
        self.assertIn("again   gauntlet stage import_model /", log)

    def test_broken_data(self):
        self.ends(self.run_, "garbage_data", "construct_inputs", says=["input 0 'x'", "input_0.pb"])
        self.ends(self.run_, "too_many_inputs", "construct_inputs", says="more inputs than")
        for name in ("wrong_input", "wrong_input_type"):
            self.ends(self.run_, name, "construct_inputs", says=["input 0 'x'", "the model says"])

    def test_external_data(self):
        self.ends(self.run_, "external", "PASS")
        self.assertTrue(os.path.isfile(self.run_.file("external", "some", "weights.bin")))
        for name in ("outside", "hidden_outside", "absolute"):
            self.ends(self.run_, f"external_{name}", "setup", says="outside the folder of the model")
        self.ends(self.run_, "external_missing", "setup", says=["'weights.bin'", "No such file"])
        self.ends(self.run_, "external_link", "setup", says="not a regular file")
        self.ends(self.run_, "external_linked_folder", "setup", says="outside the folder")
        self.ends(self.run_, "external_short", "import_model", says="'c'")

    def test_external_data_with_the_name_of_our_files(self):
        for name in ("test.json", "input.0.bin", "data_set_1_x", "._stages.json"):
            name = "external_named_" + name
            self.ends(self.run_, name, "setup", "unsupported", "rename it")
            self.assertEqual(self.run_.json(name, "test.json")["format"], 2)


class Light(support.TestCase):
    def test_inputs_and_golden_outputs(self):
        """ONNX's own runner feeds these models arange(n) / n; what must come out is stored."""
        _, run = self.run_tests("run", "--suite", "onnx-light", "light_squeezenet", "--stages",
                                "setup", "construct_inputs", "native_inference", code=0)
        (value,) = run.json("light_squeezenet", "input.json")["values"]
        self.assertEqual((value["type"], value["dims"]), ("float", [1, 3, 224, 224]))
        with open(run.file("light_squeezenet", value["file"]), "rb") as f:
            data = np.frombuffer(f.read(), np.float32)
        count = 3 * 224 * 224
        np.testing.assert_allclose(data, np.arange(count) / count, rtol=1e-6)
        stage = run.json("light_squeezenet", "stages.json")["stages"]["native_inference"]
        self.assertEqual(stage["detail"]["source"], "stored")


class Generated(support.TestCase):
    def test_same_bytes_everywhere(self):
        """Inputs depend on seed, test and input name alone: not on machine, folder or time."""
        write_test(self.path("suite", "types"), all_types())
        stages = ["--stages", "setup", "construct_inputs"]

        def hashes(folder, *more):
            _, run = self.run_tests(folder, "--suite", "suite", *stages, *more, code=0)
            return [v["hash"] for v in run.json("types", "input.json")["values"]]

        first = hashes("a")
        self.assertEqual(len(set(first)), len(first))
        self.assertEqual(first, hashes("b"))
        self.assertEqual(first, hashes("c", "--seed", "0"))
        other = hashes("d", "--seed", "1")
        # Six bools can repeat by chance.
        self.assertFalse(set(first[:-1]) & set(other[:-1]))
        # What these bytes were on the machine where this test was written.
        self.assertEqual(first[INTEGERS.index("INT32")], "133b4fdf2efeaca6a910529d96f4ffa6")


if __name__ == "__main__":
    unittest.main()
