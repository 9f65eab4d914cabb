"""Inputs and golden outputs that are stored with a test, and sizes for those that are made."""

import os
import unittest

import numpy as np
from onnx import TensorProto as T
from onnx import helper, numpy_helper

import support
from support import FLOAT, binary, model, tensor, unary, write_test

X = np.array([[1, -2, 3], [4, 5, -6]], np.float32)
STAGES = ["--stages", "setup", "construct_inputs", "native_inference"]


def named(array, name):
    return numpy_helper.from_array(array, name)


def sum_of_three(names, initializers):
    """y = names[0] + names[1] + names[2]; some of them have an initializer too."""
    nodes = [helper.make_node("Add", names[:2], ["s"]), helper.make_node("Add", ["s", names[2]], ["y"])]
    return model(nodes, [tensor(name, FLOAT, [2, 3]) for name in names],
                 [tensor("y", FLOAT, [2, 3])], initializers)


def twins(a_dims, b_dims):
    """Two outputs of two inputs, of any shapes."""
    return model([helper.make_node("Abs", ["a"], ["y"]), helper.make_node("Abs", ["b"], ["z"])],
                 [tensor("a", FLOAT, a_dims), tensor("b", FLOAT, b_dims)],
                 [tensor("y", FLOAT, None), tensor("z", FLOAT, None)])


def two_outputs():
    return model([helper.make_node("Abs", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])],
                 [tensor("x", FLOAT, [2, 3])],
                 [tensor("y", FLOAT, [2, 3]), tensor("z", FLOAT, [2, 3])])


class Stored(support.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_inputs()
        cls.make_defaults()
        cls.make_outputs()
        cls.ran, cls.run_ = cls.run_tests("run", "--suite", "suite", *STAGES, code=1)

    @classmethod
    def make(cls, name, proto, *sets, remove=None):
        folder = write_test(cls.path("suite", name), proto, *sets)
        if remove:
            os.unlink(os.path.join(folder, "test_data_set_0", remove))
        return folder

    @classmethod
    def make_inputs(cls):
        cls.make("shape", unary("Abs"), ([X.reshape(3, 2)], None))
        cls.make("rank", unary("Abs"), ([X.reshape(6)], None))
        cls.make("scalar", unary("Abs", shape=[]), ([X], None))
        cls.make("type", unary("Abs"), ([X.astype(np.float64)], None))
        cls.make("signs", unary("Abs", T.INT32), ([np.zeros((2, 3), np.uint32)], None))
        cls.make("dynamic", unary("Abs", shape=["N", None]), ([X], None))
        cls.make("dynamic_rank", unary("Abs", shape=["N", None]), ([X[0]], None))
        cls.make("dynamic_part", unary("Abs", shape=["N", 4]), ([X], None))
        cls.make("no_shape", unary("Abs", shape=None), ([X], None))
        cls.make("missing_last", binary("Add"), ([X], None))
        cls.make("missing_first", binary("Add"), ([X, X], None), remove="input_0.pb")
        cls.make("gap", sum_of_three(["a", "b", "c"], []), ([X, X, X], None), remove="input_1.pb")
        cls.make("far", unary("Abs"), ([X], None))
        os.rename(cls.path("suite", "far", "test_data_set_0", "input_0.pb"),
                  cls.path("suite", "far", "test_data_set_0", "input_7.pb"))
        cls.make("empty_set", unary("Abs"), ([], []))
        cls.make("second_set_empty", unary("Abs"), ([X], [abs(X)]), ([], []))
        cls.make("second_set_wrong", unary("Abs"), ([X], [abs(X)]), ([X[0]], [X]))
        cls.make("outputs_only", unary("Abs"), ([], [X]))
        cls.make("nothing_needed", model(
            [helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(X))], [],
            [tensor("y", FLOAT, [2, 3])]), ([], [X]))
        cls.make("same_name", twins(["N"], ["N", 2]), ([X[0], X.reshape(3, 2)], None))
        cls.make("same_name_other_size", twins(["N"], [2, "N"]), ([X[0], X.reshape(2, 3)[:, :2].copy()], None))
        cls.make("no_name", twins(["?"], ["?"]), ([X[0], X[0, :2]], None))
        names = [f"x{i}" for i in range(600)]
        cls.make("many", model([helper.make_node("Sum", names, ["y"])],
                               [tensor(name, FLOAT, [1]) for name in names],
                               [tensor("y", FLOAT, [1])]),
                 ([np.array([i], np.float32) for i in range(600)],
                  [np.array([179700], np.float32)]))
        cls.make("stored_names_do_not_count", binary("Sub"),
                 ([named(X, "b"), named(2 * X, "a")], [-X]))

    @classmethod
    def make_defaults(cls):
        w = named(X, "w")
        proto = sum_of_three(["a", "w", "b"], [w])
        cls.make("default_by_position", proto, ([X, X, 3 * X], [5 * X]))
        cls.make("default_left_out", proto, ([X, 3 * X], [5 * X]))
        cls.make("default_by_name", sum_of_three(["w", "a", "b"], [w]),
                 ([named(X, "a"), named(X, "w"), named(3 * X, "b")], [5 * X]))
        cls.make("default_overridden", proto, ([X, 2 * X, 3 * X], [6 * X]))
        cls.make("default_of_other_shape", proto, ([X, X[0], 3 * X], [6 * X]))
        cls.make("default_but_no_input", proto, ([named(X, "a"), named(X, "w")], None))
        cls.make("default_too_few", proto, ([X], None))
        cls.make("default_first", sum_of_three(["w", "a", "b"], [w]), ([X, 3 * X], [5 * X]))
        cls.make("too_many", proto, ([X, X, 3 * X, X], None))

    @classmethod
    def make_outputs(cls):
        cls.make("out_whole", two_outputs(), ([X], [abs(X), -X]))
        cls.make("out_few", two_outputs(), ([X], [abs(X)]))
        cls.make("out_gap", two_outputs(), ([X], [abs(X), -X]), remove="output_0.pb")
        cls.make("out_many", two_outputs(), ([X], [abs(X), -X, X]))
        cls.make("out_set_1_none", two_outputs(), ([X], [abs(X), -X]), ([X], None))
        cls.make("out_none", two_outputs(), ([X], None))

    def refuses(self, name, *says, stage="construct_inputs", why="error"):
        with self.subTest(name):
            self.ends(self.run_, name, stage, why, says)

    def fine(self, *names):
        for name in names:
            with self.subTest(name):
                self.assertEqual(self.run_.end(name), ("PASS", "partial"), self.run_[name]["message"])

    def inputs(self, name):
        """Names of a test's inputs and their first elements."""
        found = []
        for value in self.run_.json(name, "input.json")["values"]:
            with open(self.run_.file(name, value["file"]), "rb") as f:
                found.append((value["name"], float(np.frombuffer(f.read(), np.float32)[0])))
        return found

    def test_shape_and_type(self):
        self.refuses("shape", "input 0 'x'", "test_data_set_0/input_0.pb' holds 3x2xf32",
                     "the model says 2x3xf32")
        self.refuses("rank", "holds 6xf32, the model says 2x3xf32")
        self.refuses("scalar", "holds 2x3xf32, the model says f32")
        self.refuses("type", "holds 2x3xf64, the model says 2x3xf32")
        self.refuses("signs", "holds 2x3xui32, the model says 2x3x")
        self.refuses("dynamic_rank", "holds 3xf32, the model says Nx?xf32")
        self.refuses("dynamic_part", "holds 2x3xf32, the model says Nx4xf32")
        self.fine("dynamic", "no_shape")

    def test_missing(self):
        self.refuses("missing_last", "input 1 'b' of the model's 2 is not stored",
                     "missing_last/test_data_set_0'")
        self.refuses("missing_first", "input 1 is stored, but not input 0")
        self.refuses("gap", "input 2 is stored, but not input 1", "input_1.pb'")
        self.refuses("far", "more inputs than the model's 1")
        self.refuses("empty_set", "test_data_set_0': the data set is empty")
        self.refuses("second_set_empty", "data set 1", "test_data_set_1': the data set is empty")
        self.refuses("second_set_wrong", "data set 1", "input 0 'x'", "test_data_set_1/input_0.pb'")
        self.refuses("outputs_only", "input 0 'x' of the model's 1 is not stored")
        self.fine("nothing_needed")

    def test_a_name_is_one_size(self):
        self.fine("same_name", "no_name")
        self.refuses("same_name_other_size", "dimension 'N' is 3 in the stored input 0 'a' and 2 in "
                     "input 1 'b'")

    def test_initializers(self):
        for name in ("default_by_position", "default_left_out", "default_by_name", "default_first"):
            self.fine(name)
            self.assertEqual(self.inputs(name), [("a", 1), ("b", 3)], name)
        self.refuses("default_overridden", "input 1 'w'", "not that of its initializer",
                     why="unsupported")
        self.refuses("default_of_other_shape", "input 1 'w'", "holds 3xf32, the model says 2x3xf32")
        self.refuses("default_but_no_input", "input 2 'b' of the model is not stored")
        self.refuses("default_too_few", "input 2 'b' of the model is not stored")
        self.refuses("too_many", "more inputs than the model's 3")
        self.fine("stored_names_do_not_count")
        self.assertEqual(self.inputs("stored_names_do_not_count"), [("a", 1), ("b", 2)])

    def test_outputs(self):
        self.fine("out_whole", "out_none")
        says = "output 1 'z' of the model's 2 is not stored"
        self.refuses("out_few", says, "output_1.pb'", stage="native_inference")
        self.refuses("out_gap", "output 0 'y' of the model's 2 is not stored",
                     stage="native_inference")
        self.refuses("out_many", "more outputs are stored than the model's 2",
                     stage="native_inference")
        self.refuses("out_set_1_none", "data set 1", "output 0 'y'", stage="native_inference")
        for name in ("out_few", "out_gap", "out_many", "out_set_1_none"):
            _, run = self.run_tests("ort", "--suite", "suite", name, "--reference=ort", *STAGES,
                                    code=0)
            self.assertEqual(run.json(name, "stages.json")["stages"]["native_inference"]["detail"],
                             {"source": "onnxruntime"})
        _, run = self.run_tests("asked", "--suite", "suite", "out_gap", "--reference=stored",
                                *STAGES, code=1)
        self.ends(run, "out_gap", "native_inference", says="output 0 'y'")

    def test_what_was_read_is_recorded(self):
        stages = self.run_.json("out_whole", "stages.json")["stages"]
        folder = os.path.realpath(self.path("suite", "out_whole", "test_data_set_0"))
        for stage, files in (("construct_inputs", ["input_0.pb"]),
                             ("native_inference", ["output_0.pb", "output_1.pb"])):
            sources = [f for f in stages[stage]["inputs"] if f["name"].endswith(".pb")]
            self.assertEqual([os.path.realpath(s["name"]) for s in sources],
                             [os.path.join(folder, f) for f in files])
            for source in sources:
                self.assertTrue(os.path.isabs(source["name"]))
                self.assertRegex(source["hash"], r"\A[0-9a-f]{32}\Z")
        self.assertEqual(len({s["hash"] for s in sources}), 2)
        stages = self.run_.json("out_none", "stages.json")["stages"]
        self.assertFalse([f for f in stages["native_inference"]["inputs"] if ".pb" in f["name"]])

    def test_more_files_than_a_reply_can_name(self):
        """The list of what was read is left out; the rest of the record stays."""
        self.fine("many")
        for stage in ("construct_inputs", "native_inference"):
            record = self.run_.json("many", "stages.json")["stages"][stage]
            self.assertEqual(record["detail"]["source"], "stored")
        self.assertEqual(len(self.inputs("many")), 600)


class Sizes(support.TestCase):
    """--dim"""

    def run_dims(self, folder, *dims, code):
        write_test(self.path(folder, "open"), unary("Abs", shape=["N", None]))
        write_test(self.path(folder, "closed"), unary("Abs"))
        flags = [word for dim in dims for word in ("--dim", dim)]
        _, run = self.run_tests(folder + "-run", "--suite", folder, *flags, *STAGES, code=code)
        return run

    def detail(self, run, name):
        return run.json(name, "stages.json")["stages"]["construct_inputs"]["detail"]

    def test_used(self):
        run = self.run_dims("used", "N=4", "x[1]=5", code=0)
        self.assertEqual(self.detail(run, "open"), {"source": "generated"})
        # A run is of many tests: who does not have the dimension says so, and goes on.
        self.assertEqual(self.detail(run, "closed")["unused_dims"], ["N", "x[1]"])
        self.assertIn("--dim 'x[1]' fits no dynamic dimension", run.text("closed", "construct_inputs.output"))

    def test_typo(self):
        run = self.run_dims("typo", "M=4", "x[1]=5", "y[1]=7", code=1)
        self.ends(run, "open", "construct_inputs", says=["--dim 'N=SIZE'", "does not have 'M', 'y[1]'"])
        run = self.run_dims("superfluous", "N=4", "x[1]=5", "x[2]=7", code=0)
        self.assertEqual(self.detail(run, "open")["unused_dims"], ["x[2]"])
        run = self.run_dims("none", code=1)
        self.ends(run, "open", "construct_inputs", says="--dim 'N=SIZE'")
        self.assertNotIn("does not have", run["open"]["message"])


if __name__ == "__main__":
    unittest.main()
