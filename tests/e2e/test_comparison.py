"""What counts as equal, and how a difference is told."""

import os
import unittest

import numpy as np
from onnx import TensorProto as T
from onnx import helper

import support
from support import FLOAT, model, tensor, unary, write_test

X = np.array([[1, -2, 3], [4, 5, -6]], np.float32)
INF, NAN = np.inf, np.nan


def f32(*values):
    return np.array(values, np.float32)


class Comparison(support.TestCase):
    """Modules hand their input through; what is stored as golden decides. Compiled once."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make("value", X, np.where(X == 5, 5.5, X).astype(np.float32))
        cls.make("shape", X, X.reshape(3, 2))
        cls.make("rank", X, X.reshape(6))
        cls.make("type", X, X.astype(np.float64))
        # |out - gold| <= 1e-3 + 1e-3 * |gold|, in double
        cls.make("just_inside", f32(1000, 0), f32(1001.0009, 0.00099))
        cls.make("just_outside", f32(1000, 0), f32(1001.0021, 0.0011))
        cls.make("infinite", f32(INF, -INF, 1), f32(INF, -INF, 1))
        cls.make("infinite_sign", f32(INF, 1), f32(-INF, 1))
        cls.make("infinite_where_finite", f32(INF, 1), f32(3e38, 1))
        cls.make("infinite_and_finite", f32(INF, 1), f32(-INF, 2))
        cls.make("nan", f32(NAN, 1), f32(NAN, 1))
        cls.make("nan_where_number", f32(NAN, 1), f32(2, 1))
        cls.make("number_where_nan", f32(2, 1), f32(NAN, 1))
        cls.make("integer", np.array([7, 8], np.int32), np.array([7, 9], np.int32))
        big = 2**62 + 1
        cls.make("big_integer", np.array([big, 1], np.int64), np.array([big - 1, 1], np.int64))
        cls.make("huge_unsigned", np.array([2**64 - 1, 1], np.uint64),
                 np.array([2**64 - 2, 1], np.uint64))
        cls.make("neighbours", np.array([1, 0.1]), np.array([1.0000000000000002, 0.2]))
        cls.make("unsigned", np.array([200, 1], np.uint8), np.array([200, 1], np.uint8))
        cls.make("bool", np.array([True, False]), np.array([True, True]))
        cls.make("half", X.astype(np.float16), (X * 1.0005).astype(np.float16))
        cls.make("zeros", f32(0, 0), f32(0, 0))
        cls.make("empty", np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))
        cls.ran, cls.run_ = cls.run_tests("run", "--suite", "suite", "-d", "local-sync", code=1)

    @classmethod
    def make(cls, name, value, *golden):
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        write_test(cls.path("suite", name), unary("Identity", kind, value.shape),
                   ([value], list(golden)))

    def again(self, *flags):
        """The comparison alone, with other rules."""
        ran = self.gauntlet("run", "-r", "run", "--suite", "suite", "-d", "local-sync",
                            "--stages", "comparison", *flags)
        self.assertIn(ran.code, (0, 1), ran)
        return support.Run(self.path("run"))

    def numerics(self, name, why, *says):
        self.ends(self.run_, name, "Numerics", why, says)

    def test_values(self):
        self.numerics("value", "value", "output 0 'y': 1 of 6 values differ, the first at [1,1]",
                      "5 where 5.5 is right", "0.5 absolute")
        record = self.run_.json("value", "comparison.json")
        self.assertEqual((record["match"], record["difference"], record["total"],
                          record["mismatches"]), (False, "value", 6, 1))
        output = record["outputs"][0]
        self.assertEqual(output["first_mismatch"], {"value": 5, "index": "[1,1]", "gold": 5.5})
        self.assertEqual(output["max_absolute_error"], {"value": 0.5, "index": "[1,1]"})
        self.assertEqual(output["max_relative_error"]["index"], "[1,1]")
        self.assertAlmostEqual(output["max_relative_error"]["value"], 0.5 / 5.5)
        log = self.run_.text("value", "inference_comparison.log")
        self.assertIn("|output - gold| <= 0.001 + 0.001 * |gold|", log)
        self.assertIn("1 of 6 values differ, the first at [1,1]", log)
        self.assertIn("Numerics: 5 of 6 values match", log)

    def test_form(self):
        self.numerics("shape", "shape", "2x3xf32 where 3x2xf32 is right")
        self.numerics("rank", "shape", "2x3xf32 where 6xf32 is right")
        self.numerics("type", "type", "2x3xf32 where 2x3xf64 is right")

    def test_numbers_that_differ_look_different(self):
        run = self.again("--tolerance", "0", "0")
        self.ends(run, "neighbours", "Numerics", "value",
                  "1 where 1.0000000000000002 is right; largest error 0.1 absolute")
        first = run.json("neighbours", "comparison.json")["outputs"][0]["first_mismatch"]
        self.assertEqual((first["value"], first["gold"]), (1, 1.0000000000000002))
        text = run.text("neighbours", "comparison.json")
        self.assertIn('"gold": 1.0000000000000002', text)
        self.assertIn('"atol": 0.0,', text)
        self.numerics("big_integer", "value", f"{2**62 + 1} where {2**62} is right",
                      "largest error 1 absolute")
        output = self.run_.json("big_integer", "comparison.json")["outputs"][0]
        self.assertEqual(output["first_mismatch"], {"value": 2**62 + 1, "index": "[0]", "gold": 2**62})
        self.assertEqual(output["max_absolute_error"], {"value": 1, "index": "[0]"})
        self.numerics("huge_unsigned", "value", f"{2**64 - 1} where {2**64 - 2} is right")
        output = self.run_.json("huge_unsigned", "comparison.json")["outputs"][0]
        self.assertEqual(output["first_mismatch"],
                         {"value": str(2**64 - 1), "index": "[0]", "gold": str(2**64 - 2)})

    def test_tolerance(self):
        self.ends(self.run_, "just_inside", "PASS")
        self.numerics("just_outside", "value", "2 of 2 values differ")
        self.ends(self.run_, "half", "PASS")

    def test_special_values(self):
        for name in ("infinite", "nan", "empty"):
            self.ends(self.run_, name, "PASS")
        self.numerics("infinite_sign", "value", "inf where -inf is right")
        self.numerics("infinite_where_finite", "value", "inf where 3e+38 is right")
        # An error of 0 would belittle it: no finite value is wrong.
        for name in ("infinite_sign", "infinite_where_finite", "nan_where_number"):
            self.assertNotIn("largest error", self.run_[name]["message"])
            self.assertNotIn("largest error", self.run_.text(name, "inference_comparison.log"))
        self.numerics("infinite_and_finite", "value",
                      "largest error over the finite values 1 absolute, 0.5 relative")
        self.numerics("nan_where_number", "value", ": nan where 2 is right")
        self.numerics("number_where_nan", "value", "2 where nan is right")

    def test_integers_are_exact(self):
        self.numerics("integer", "value", "8 where 9 is right")
        self.numerics("big_integer", "value", "1 of 2 values differ")
        self.numerics("bool", "value", "1 of 2")
        self.ends(self.run_, "unsigned", "PASS")

    def test_vacuous(self):
        self.ends(self.run_, "zeros", "PASS")
        self.assertTrue(self.run_["zeros"]["vacuous"])
        self.assertFalse(self.run_["just_inside"]["vacuous"])
        self.assertIn("would pass with all-zero outputs too", self.ran.out)
        self.assertIn("vacuous", self.run_.text("zeros", "inference_comparison.log"))

    def test_other_rules(self):
        run = self.again("--tolerance", "0.6", "0", "--nan", "fail")
        self.ends(run, "value", "PASS")
        self.ends(run, "integer", "Numerics", "value")
        run = self.again("--tolerance", "1", "0")
        self.ends(run, "integer", "PASS")  # asked for, so also for integers
        run = self.again("--tolerance", "0", "0")
        self.ends(run, "just_inside", "Numerics", "value")
        self.ends(run, "infinite", "PASS")
        self.ends(run, "nan", "PASS")
        run = self.again("--nan=fail")
        self.ends(run, "nan", "Numerics", "value", "nan where nan is right")
        self.assertIn("NaN never equals NaN", run.text("nan", "inference_comparison.log"))
        run = self.again("--tolerance", "1e-2", "0.2")
        self.ends(run, "bool", "Numerics", "value")
        record = run.json("value", "comparison.json")
        self.assertEqual((record["atol"], record["rtol"], record["match"]), (0.01, 0.2, True))

    def test_reference(self):
        """The model itself against what is stored with it."""
        stages = ["-d", "local-sync", "--stages", "native_inference", "comparison"]
        ran, run = self.run_tests("run", "--suite", "suite", "value", *stages,
                                  "--reference=ort", code=0)
        record = run.json("value", "stages.json")["stages"]["native_inference"]
        self.assertEqual(record["detail"]["source"], "onnxruntime")
        ran, run = self.run_tests("run", "--suite", "suite", "value", *stages,
                                  "--reference", "stored", code=1)
        record = run.json("value", "stages.json")["stages"]["native_inference"]
        self.assertEqual(record["detail"]["source"], "stored")

    def test_reference_that_is_not_there(self):
        write_test(self.path("bare", "plain"), unary("Abs"))
        _, run = self.run_tests("bare-run", "--suite", "bare", "--reference=stored",
                                "--stages", "setup", "construct_inputs", "native_inference",
                                code=1)
        self.ends(run, "plain", "native_inference", says="no outputs are stored with this test")


if __name__ == "__main__":
    unittest.main()
