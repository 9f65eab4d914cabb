"""Endings that need no fake: what real models do to the real compiler and to a real module."""

import os
import re
import shlex
import unittest

import support
from matrix import FILES, Case
from support import FLOAT, NODE_TESTS, STAGES, helper, model, tensor


def endless_module():
    """A loop whose condition stays true, with the largest number of rounds there is."""
    scalar = [tensor("i", 7, []), tensor("go", 9, []), tensor("v", FLOAT, [1])]
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]),
         helper.make_node("Add", ["v", "zero"], ["sum"])], "body", scalar,
        [tensor("go_on", 9, []), tensor("sum", FLOAT, [1])])
    constants = [helper.make_tensor("zero", FLOAT, [1], [0.0]),
                 helper.make_tensor("rounds", 7, [], [2 ** 63 - 1]),
                 helper.make_tensor("always", 9, [], [True])]
    nodes = [helper.make_node("Constant", [], [c.name], value=c) for c in constants]
    nodes.append(helper.make_node("Loop", ["rounds", "always", "x"], ["y"], body=body))
    return model(nodes, [tensor("x", FLOAT, [1])], [tensor("y", FLOAT, [1])])


class Readme(support.TestCase):
    """What the README says to type, in its order: of the big suite a few tests, and files like its own."""

    def test_examples(self):
        text = support.read_text(os.path.join(support.ROOT, "README.md"))
        lines = re.findall(r"(?m)^    gauntlet (.*?)(?: +#.*)?$", text)
        self.assertGreater(len(lines), 10)
        os.symlink(os.path.join(support.ROOT, "examples"), self.path("examples"))
        for name in ("test_abs", "test_add_uint8"):
            os.makedirs(self.path("few"), exist_ok=True)
            os.symlink(os.path.join(NODE_TESTS, name), self.path("few", name))
        support.write_test(self.path("my_tests", "one"), support.unary("Abs"))
        node = helper.make_node("Abs", ["x"], ["y"])
        with open(self.path("model.onnx"), "wb") as f:
            f.write(model([node], [tensor("x", FLOAT, ["batch"])], [tensor("y", FLOAT, ["batch"])])
                    .SerializeToString())
        devices = self.gauntlet("doctor").out
        for line in lines:
            words = [word if word != "onnx-node" else "few" for word in shlex.split(line)]
            if "vulkan" in words and "vulkan" not in devices:
                continue
            with self.subTest(line):
                ran = self.gauntlet(*words)
                self.assertEqual((ran.code, ran.err), (0, ""), ran)


class Real(Case):
    """The compiler and its modules need no fake to crash and to hang."""

    def test_crashes(self):
        names = sorted(os.listdir(NODE_TESTS))
        cases = {name: "SIGSEGV" for name in names
                 if re.fullmatch(r"test_rotary_embedding(_\w+)?_expanded", name)}
        cases.update((name, "SIGABRT") for name in names
                     if re.fullmatch(r"test_castlike_FLOAT(16)?_to_U?INT4", name))
        cases["test_reshape_allowzero_reordered"] = "SIGFPE"
        self.assertGreaterEqual(len(cases), 10)
        ran, run = self.run_tests("crashes", *cases, "--stages", *STAGES[:4], "--expect", "none",
                                  code=1, env=self.fake_env)
        self.nothing_left("crashes")
        for name, number in cases.items():
            with self.subTest(name):
                self.ends(run, name, "compilation", f"crash:{number}", "the compiler crashed")
                log = run.text(name, "compilation.log")
                self.assertIn(f"why     crash:{number}\n", log)
                self.assertIn("again   gauntlet stage compilation", log)
                if number == "SIGABRT":
                    self.assertRegex(run[name]["message"], r"LLVM ERROR: .* [su]i4\Z")
                    self.assertIn("\n  Bit width: 4\n", log)
                files = set(os.listdir(run.folder(name)))
                self.assertIn("model.torch_onnx.mlir", files)
                self.assertFalse({f for s in STAGES[3:] for f in FILES[s]} & files)
        self.valid(run)

    def test_hang(self):
        """A module that computes for ever, on both of the host's devices."""
        support.write_test(self.path("endless"), endless_module())
        for device in ("local-task", "local-sync"):
            with self.subTest(device):
                folder = f"hang-{device}"
                ran, run = self.run_tests(
                    folder, "--suite", "endless", "-d", device, "--skip-stages",
                    "native_inference", "--timeout", "compiled_inference=3", "--retries",
                    "timeout=0", code=1, env=self.fake_env)
                self.nothing_left(folder)
                self.ends(run, "endless", "compiled_inference", "timeout",
                          "the compiled module did not end within 3 s")
                end = self.ends_of(run)["endless"][-1]
                self.assertGreater(end["user_seconds"] + end["system_seconds"], 0.1)
                self.assertFalse(os.path.exists(run.file("endless", "output.json")))


if __name__ == "__main__":
    unittest.main()
