"""The stages: their files, their options, doing some of them only, doing one again by hand."""

import fcntl
import json
import os
import shutil
import signal
import unittest

import numpy as np
from onnx import TensorProto as T

import support
from support import STAGES, read_text, unary, write_test

X = np.array([[1, -2, 3], [4, 5, -6]], np.float32)
ARTEFACTS = {
    "model.onnx", "model.torch_onnx.mlir", "import.json", "compiled_model.vmfb", "input.0.bin",
    "input.json", "golden_output.0.bin", "golden_output.json", "output.0.bin", "output.json",
    "comparison.json", "inference_comparison.log", "stages.json", "test.json"}


class Stages(support.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_test(cls.path("suite", "t"), unary("Abs"), ([X], [abs(X)]))
        write_test(cls.path("suite", "double"), unary("Abs", T.DOUBLE))
        write_test(cls.path("suite", "generated"), unary("Neg"))
        cls.first, cls.full = cls.run_tests("full", "--suite", "suite", code=0)

    def copy_of_full(self, name):
        """A run directory of this test's own, with all that a whole run left."""
        shutil.rmtree(self.path(name), ignore_errors=True)
        shutil.copytree(self.path("full"), self.path(name), symlinks=True)
        return self.path(name, "t")

    def some(self, folder, *flags, code=None):
        return self.run_tests(folder, "--suite", "suite", "t", *flags, code=code)

    def test_artefacts(self):
        self.assertEqual(set(os.listdir(self.full.folder("t"))), ARTEFACTS)
        with open(self.full.file("t", "input.0.bin"), "rb") as f:
            self.assertEqual(f.read(), X.tobytes())  # elements only
        with open(self.full.file("t", "output.0.bin"), "rb") as f:
            self.assertEqual(f.read(), abs(X).tobytes())
        mlir = self.full.text("t", "model.torch_onnx.mlir")
        function = self.full.json("t", "import.json")["function"]
        self.assertIn(f"func.func @{function}(", mlir)
        self.assertIn("torch.onnx_meta.opset_version = 21", mlir)

    def test_run_directory(self):
        self.assertEqual(set(os.listdir(self.path("full"))),
                         {"t", "double", "generated", "events.jsonl", "results.json", "run.lock"})

    def test_records(self):
        stages = self.full.json("t", "stages.json")["stages"]
        self.assertEqual(list(stages), STAGES)
        for name, stage in stages.items():
            self.assertTrue(stage["ok"], name)
            for file in stage["files"]:
                size = os.path.getsize(self.full.file("t", file["name"]))
                self.assertEqual(size, file["bytes"])
        self.assertEqual([f["name"] for f in stages["compiled_inference"]["inputs"]],
                         ["compiled_model.vmfb", "import.json", "input.json", "input.0.bin"])
        self.assertEqual(stages["preprocessing"]["inputs"], [])
        self.assertEqual([f["name"] for f in stages["native_inference"]["inputs"]],
                         ["model.onnx", self.path("suite", "t", "test_data_set_0", "output_0.pb")])
        self.assertEqual([f["name"] for f in stages["construct_inputs"]["inputs"]],
                         ["model.onnx", self.path("suite", "t", "test_data_set_0", "input_0.pb")])
        self.assertNotIn("sources", stages["construct_inputs"]["detail"])
        self.assertEqual(stages["compilation"]["tool"]["name"], "iree-compiler")
        self.assertIn("3.", stages["compiled_inference"]["tool"]["version"])

    def test_torch_to_linalg(self):
        _, run = self.some("linalg", "--torchtolinalg", code=0)
        self.assertEqual(set(os.listdir(run.folder("t"))),
                         ARTEFACTS | {"model.torch.mlir", "model.modified.mlir"})
        self.assertIn("torch.aten.abs", run.text("t", "model.torch.mlir"))
        modified = run.text("t", "model.modified.mlir")
        self.assertIn("linalg.generic", modified)
        self.assertNotIn("!torch", modified)
        self.assertEqual(
            [f["name"] for f in run.json("t", "stages.json")["stages"]["compilation"]["inputs"]],
            ["model.modified.mlir"])
        # What was compiled is the lowered file: without it there is nothing to compile.
        os.unlink(run.file("t", "model.modified.mlir"))
        _, run = self.some("linalg", "--torchtolinalg", "--stages", "compilation", code=1)
        self.ends(run, "t", "compilation", says="'model.modified.mlir'")

    def test_devices_and_backends(self):
        self.copy_of_full("devices")
        for device in ("local-sync", "local-task"):
            _, run = self.some("devices", "-d", device, "--stages", "compiled_inference",
                               "comparison", code=0)
        _, run = self.some("devices", "-b", "vmvx", "-d", "local-sync", code=0)
        self.assertIn("--iree-hal-target-backends=vmvx",
                      run.json("t", "stages.json")["stages"]["compilation"]["detail"]["flags"])
        # A module for one kind of device on another: a sentence, and before anything is compiled.
        for backend, device, says in (("vmvx", "vulkan", "'vmvx' makes no modules for device 'vulkan': "
                                       "say -d local-task"), ("vulkan-spirv", "local-sync", "-d vulkan"),
                                      ("llvm-cpu", "vulkan://0", "-d local-task"),
                                      ("cuda", "local-task", "--skip-stages compiled_inference")):
            self.refused("run", "--suite", "suite", "t", "-r", "never", "-b", backend, "-d", device,
                         says=says)
        self.assertFalse(os.path.exists(self.path("never")))
        # Who only compiles needs no device, and who names a target of their own is believed.
        self.some("only", "-b", "vulkan-spirv", "--stages", *STAGES[:4], code=0)
        _, run = self.some("own", "-d", "vulkan", "-a", "iree-hal-target-device=local", "--", code=1)
        self.ends(run, "t", run.end("t")[0])
        if "vulkan" in self.gauntlet("doctor").out:
            _, run = self.some("devices", "-b", "vulkan-spirv", "-d", "vulkan", code=0)
            self.ends(run, "t", "PASS")

    def test_compiler_flags(self):
        """Also those that only the compiler's global command line knows."""
        _, run = self.some("flags", "-m", "onnx-iree", "-a", "iree-opt-level=O2", "mlir-print-ir-after-all",
                           "mlir-disable-threading", "iree-codegen-linalg-max-constant-fold-elements=1",
                           "iree-global-opt-propagate-transposes=true", "--", code=0)
        stage = run.json("t", "stages.json")["stages"]["compilation"]
        for flag in ("--iree-opt-level=O2", "--mlir-print-ir-after-all",
                     "--iree-codegen-linalg-max-constant-fold-elements=1"):
            self.assertIn(flag, stage["detail"]["flags"])
        self.assertGreater(stage["output_bytes"], 10000)  # it did print

    def test_double(self):
        self.ends(self.full, "double", "PASS")
        with open(self.full.file("double", "compiled_model.vmfb"), "rb") as f:
            self.assertIn(b"_f64", f.read())
        self.run_tests("demoted", "--suite", "suite", "double", "-a",
                       "iree-input-demote-f64-to-f32=true", "--stages", *STAGES[:4])
        with open(self.path("demoted", "double", "compiled_model.vmfb"), "rb") as f:
            self.assertNotIn(b"_f64", f.read())

    def test_some_stages(self):
        ran, run = self.some("some", "--stages", "comparison", "setup", "import_model", code=1)
        self.ends(run, "t", "results-summary", says=["golden_output.json", "native_inference"])
        ran, run = self.some("some", "--stages", "compilation", code=0)
        self.ends(run, "t", "PASS", "partial")
        ran, run = self.some("some", "--skip-stages", "setup", "import_model", "preprocessing",
                             "compilation", "--", code=0)
        self.ends(run, "t", "PASS", "")
        self.assertNotIn("setup", [e["stage"] for e in run.events() if e["event"] == "stage-end"])
        # The whole again: nothing of before is left.
        os.rename(self.path("some", "t", "output.0.bin"), self.path("some", "t", "extra.bin"))
        ran, run = self.some("some", code=0)
        self.assertEqual(set(os.listdir(run.folder("t"))), ARTEFACTS)

    def test_a_stale_file_is_never_used(self):
        for file, stages in (("model.onnx", "import_model"),
                             ("model.torch_onnx.mlir", "compilation"),
                             ("compiled_model.vmfb", "compiled_inference"),
                             ("import.json", "compiled_inference"),
                             ("input.json", "compiled_inference"),
                             ("input.0.bin", "compiled_inference"),
                             ("golden_output.json", "comparison"),
                             ("output.0.bin", "comparison")):
            for change in ("changed", "gone"):
                with self.subTest(file=file, change=change):
                    path = os.path.join(self.copy_of_full("stale"), file)
                    if change == "gone":
                        os.unlink(path)
                    elif file.endswith(".bin"):
                        with open(path, "r+b") as f:
                            f.write(b"Z")
                    else:  # still as good as before, but another file
                        with open(path, "ab") as f:
                            f.write(b"\x9a\x06\x00" if file.endswith(".onnx") else b"\n")
                    _, run = self.some("stale", "--stages", stages, code=1)
                    status = "results-summary" if stages == "comparison" else stages
                    self.ends(run, "t", status,
                              says=[file] if change == "gone" else [file, "changed"])

    def test_every_file_of_every_data_set(self):
        """Also those of sets other than the first, and external data."""
        ports = [support.tensor("x", support.FLOAT, (2, 3)), support.tensor("y", support.FLOAT, (2, 3))]
        proto = support.model([support.helper.make_node("Add", ["x", "w"], ["y"])], ports[:1],
                              ports[1:], initializers=[support.numpy_helper.from_array(X, "w")])
        weight = proto.graph.initializer[0]
        weight.data_location = T.EXTERNAL
        weight.external_data.add(key="location", value="w.data")
        weight.ClearField("raw_data")
        write_test(self.path("sets", "s"), proto, ([X], [X + X]), ([-X], [X - X]))
        with open(self.path("sets", "s", "w.data"), "wb") as f:
            f.write(X.tobytes())
        _, run = self.run_tests("sets0", "--suite", "sets", code=0)
        self.assertEqual(
            [f["name"] for f in run.json("s", "stages.json")["stages"]["compiled_inference"]["inputs"]],
            ["compiled_model.vmfb", "import.json", "input.json", "input.0.bin",
             "data_set_1/input.0.bin", "data_set_1/input.json"])
        for file, stage in (("w.data", "import_model"),
                            ("data_set_1/input.0.bin", "compiled_inference"),
                            ("data_set_1/golden_output.json", "comparison"),
                            ("data_set_1/output.0.bin", "comparison")):
            with self.subTest(file):
                shutil.rmtree(self.path("sets1"), ignore_errors=True)
                shutil.copytree(self.path("sets0"), self.path("sets1"))
                with open(self.path("sets1", "s", file), "ab") as f:
                    f.write(b"\n")
                _, run = self.run_tests("sets1", "--suite", "sets", "--stages", stage, code=1)
                self.ends(run, "s", "results-summary" if stage == "comparison" else stage,
                          says=[file, "changed"])

    def test_files_of_another_test(self):
        self.copy_of_full("other")
        write_test(self.path("suite2", "t"), unary("Neg"), ([X], [-X]))
        for flags in (["--stages", "compiled_inference", "comparison"],
                      ["--stages", "comparison"], ["--load-inputs"]):
            _, run = self.run_tests("other", "--suite", "suite2", "t", *flags, code=1)
            self.assertIn("come from another test", run["t"]["message"])
            self.assertIn(self.path("suite", "t", "model.onnx"), run["t"]["message"])
            self.copy_of_full("other")

    def test_files_made_with_other_options(self):
        flags = ["-d", "local-sync", "--seed", "3"]
        folder = ["--suite", "suite", "generated"]
        self.run_tests("made", *folder, *flags, code=0)
        for changed, stages, says in (
                (["-d", "local-task", "--seed", "3"], "comparison",
                 "run stage compiled_inference too: it was done with device 'local-sync' where this "
                 "run says 'local-task'"),
                (flags + ["-b", "vmvx"], "compiled_inference",
                 "run stage compilation too: it was done with backend 'llvm-cpu' where this run says "
                 "'vmvx'"),
                (flags + ["-a", "iree-opt-level=O1"], "construct_inputs",
                 "run stage compilation too: it was done without flags '--iree-opt-level=O1', which "
                 "this run says"),
                (flags + ["-a", "iree-llvmcpu-target-cpu=generic"], "construct_inputs",
                 "it was done with flags '--iree-llvmcpu-target-cpu=host' where this run says "
                 "'--iree-llvmcpu-target-cpu=generic'"),
                (flags + ["--torchtolinalg"], "compiled_inference", "torch_to_linalg"),
                (["-d", "local-sync", "--seed", "4"], "compiled_inference",
                 "run stage construct_inputs too: it was done with seed 3 where this run says 4"),
                (flags + ["--dim", "N=4"], "native_inference", "with dims {} where this run says "
                 "{\"N\":4}")):
            with self.subTest(changed):
                _, run = self.run_tests("made", *folder, *changed, "--stages", stages, code=1)
                self.assertIn(says, run["generated"]["message"])
                self.assertEqual(run["generated"]["why"], "error")
        # What a stage does not depend on may change: the seed of inputs that are loaded, rules.
        self.run_tests("made", *folder, "-d", "local-sync", "--load-inputs", "--seed", "5", code=0)
        self.run_tests("made", *folder, *flags, "--stages", "comparison", "--tolerance", "1", code=0)
        _, run = self.run_tests("made", *folder, *flags, "--seed", "5", "--stages", "comparison",
                                code=1)
        self.assertIn("with seed 3 where", run["generated"]["message"])
        self.copy_of_full("gold")
        _, run = self.some("gold", "--reference", "ort", "--stages", "comparison", code=1)
        self.assertIn("with reference 'stored' where this run says 'ort'", run["t"]["message"])

    def test_a_stage_that_read_other_files(self):
        self.copy_of_full("fed")
        flags = ["-a", "iree-llvmcpu-target-cpu=generic"]
        self.some("fed", *flags, "--stages", "compilation", code=0)
        _, run = self.some("fed", *flags, "--stages", "comparison", code=1)
        self.ends(run, "t", "results-summary", says=[
            "run stage compiled_inference too", "another 'compiled_model.vmfb'"])
        self.some("fed", *flags, "--stages", "compiled_inference", "comparison", code=0)

    def test_records_of_a_newer_format(self):
        path = os.path.join(self.copy_of_full("newer"), "stages.json")
        record = support.read_json(path)
        for number, word in ((1, "older"), (3, "newer")):
            record["format"] = number
            text = read_text(support.seal(path, record))
            _, run = self.some("newer", "--stages", "comparison", code=1)
            says = ["stages.json", f"format {number}", word]
            self.ends(run, "t", "results-summary", says=says)
            self.assertEqual(read_text(path), text)
            self.refused("stage", "comparison", "newer/t", says=says)
        self.some("newer", code=0)
        self.copy_of_full("newer")
        path = self.path("newer", "t", "test.json")
        support.seal(path, {**support.read_json(path), "format": 3})
        path = self.path("newer", "t", "import.json")
        support.write_text(path, read_text(path).replace('"format": 1', '"format": 2'))
        self.refused("stage", "compiled_inference", "newer/t", says=["test.json", "format 3"])
        shutil.copy(self.path("full", "t", "test.json"), self.path("newer", "t"))
        ran = self.gauntlet("stage", "--trust", "compiled_inference", "newer/t")
        self.assertEqual(ran.code, 1, ran)
        self.assertIn("format 2", ran.out)

    def test_nothing_to_start_from(self):
        _, run = self.some("nothing", "--stages", "compiled_inference", code=1)
        self.ends(run, "t", "compiled_inference",
                  says=["'compiled_model.vmfb'", "stage compilation was left out"])

    def test_load_inputs(self):
        folder = self.path("load", "generated")
        arguments = ["--suite", "suite", "generated"]
        self.run_tests("load", *arguments, "--seed", "7", code=0)
        with open(os.path.join(folder, "input.0.bin"), "rb") as f:
            seeded = f.read()
        _, run = self.run_tests("load", *arguments, "--load-inputs", code=0)
        with open(run.file("generated", "input.0.bin"), "rb") as f:
            self.assertEqual(f.read(), seeded)
        with open(self.full.file("generated", "input.0.bin"), "rb") as f:
            self.assertNotEqual(f.read(), seeded)
        with open(os.path.join(folder, "input.0.bin"), "r+b") as f:
            f.write(b"ZZ")
        _, run = self.run_tests("load", *arguments, "--load-inputs", code=1)
        self.ends(run, "generated", "construct_inputs", says="input.0.bin")
        _, run = self.run_tests("load2", *arguments, "--load-inputs", code=1)
        self.ends(run, "generated", "construct_inputs",
                  says=["'input.json'", "run the test without --load-inputs first"])

    def test_no_artifacts(self):
        _, run = self.some("lean", "--no-artifacts", code=0)
        self.assertEqual(set(os.listdir(run.folder("t"))),
                         {name for name in ARTEFACTS if name.endswith((".json", ".log"))})
        _, run = self.some("lean", "--stages", "comparison", code=1)
        self.ends(run, "t", "results-summary", says="output.0.bin")

    def test_no_artifacts_of_what_is_lent(self):
        """What a run needs and does not make is an earlier one's: it stays, so that it can be run again."""
        folder = self.copy_of_full("lent")
        flags = ["--no-artifacts", "--tolerance", "0", "0"]
        differs = np.frombuffer(abs(X).tobytes(), np.float32) + 1
        self.change_output(folder, differs.tobytes())
        _, run = self.some("lent", *flags, "--stages", "comparison", code=1)
        self.ends(run, "t", "Numerics", "value", says="values differ")
        self.assertEqual(set(os.listdir(folder)), ARTEFACTS)
        _, run = self.some("lent", *flags, "--stages", "comparison", "--rerun-failed", code=1)
        self.ends(run, "t", "Numerics", "value", says="values differ")
        self.assertFalse(run["t"]["flaky"])
        # What it makes goes; after that nothing is to be had of it.
        _, run = self.some("lent", *flags, "--stages", "compiled_inference", "comparison", code=0)
        self.assertEqual(set(os.listdir(folder)), ARTEFACTS - {"output.0.bin"})

    def change_output(self, folder, data):
        """As if the compiled program had given another value."""
        value = support.hash_bytes(data)
        with open(os.path.join(folder, "output.0.bin"), "wb") as f:
            f.write(data)
        record = support.read_json(os.path.join(folder, "output.json"))
        record["values"][0]["hash"] = value
        text = json.dumps(record)
        support.write_text(os.path.join(folder, "output.json"), text)
        hashes = {"output.0.bin": value, "output.json": support.hash_bytes(text.encode())}
        stages = support.read_json(os.path.join(folder, "stages.json"))
        for stage in stages["stages"].values():
            for file in stage["files"] + stage["inputs"]:
                file["hash"] = hashes.get(file["name"], file["hash"])
        support.seal(os.path.join(folder, "stages.json"), stages)

    def test_no_artifacts_of_loaded_inputs(self):
        """Of all data sets, that in a folder of its own too."""
        data = ([X], [abs(X)])
        write_test(self.path("two", "t"), unary("Abs"), data, data)
        flags = ["--suite", "two"]
        self.run_tests("loaded", *flags, code=0)
        support.write_text(self.path("never"), "t setup\n")
        flags += ["--load-inputs", "--no-artifacts", "--expect", "never"]
        for more in ((), ("--rerun-failed",)):
            _, run = self.run_tests("loaded", *flags, *more, code=1)
            self.ends(run, "t", "PASS")
            self.assertFalse(run["t"]["flaky"])
            self.assertEqual(set(os.listdir(run.folder("t"))),
                             {name for name in ARTEFACTS if name.endswith((".json", ".log"))} |
                             {"input.0.bin", "data_set_1"})
            self.assertEqual(set(os.listdir(run.file("t", "data_set_1"))), {"input.0.bin", "input.json"})

    def test_loaded_inputs_are_there_for_the_next_try(self):
        suite, env = self.path("again.fake"), {"GAUNTLET_FAKE": "1"}
        support.write_text(suite, '{"t": {}}')
        self.run_tests("again", "--suite", suite, code=0, env=env)
        for order, attempts in (("1*error", 2), ("1*signal:KILL", 2)):
            support.write_text(suite, '{"t": {"construct_inputs": "%s"}}' % order)
            _, run = self.run_tests("again", "--suite", suite, "--load-inputs", "--retries", "error=1",
                                    code=0, env=env)
            self.assertEqual([e["attempt"] for e in run.events() if e["event"] == "stage-end"
                              and e["stage"] == "construct_inputs"], list(range(1, attempts + 1)))
        # Also for another run, when none went well.
        support.write_text(suite, '{"t": {"construct_inputs": "error"}}')
        self.run_tests("again", "--suite", suite, "--load-inputs", code=1, env=env)
        support.write_text(suite, '{"t": {}}')
        self.run_tests("again", "--suite", suite, "--load-inputs", code=0, env=env)

    def test_inputs_that_cannot_be_loaded(self):
        """They fail their test, not the run, and are there again when they are whole again."""
        write_test(self.path("loads.onnx"), unary("Abs"))
        folder = ["--suite", "loads.onnx", "-d", "local-sync"]
        _, run = self.run_tests("loads", *folder, code=0)
        path = run.file("loads.onnx", "input.0.bin")
        with open(path, "rb") as f:
            whole = f.read()

        def loads(code):
            ran, run = self.run_tests("loads", *folder, "--load-inputs", "--stages", "setup",
                                      "construct_inputs", code=code)
            self.assertNotIn("audit", ran.err)
            self.assertTrue(run.results["complete"])
            return run

        for broken in (None, whole[:-1], b"x" + whole[1:]):
            with self.subTest(broken):
                os.unlink(path)
                if broken:
                    with open(path, "wb") as f:
                        f.write(broken)
                for _ in range(2):
                    self.ends(loads(1), "loads.onnx", "construct_inputs", "error", says="input.0.bin")
                with open(path, "wb") as f:
                    f.write(whole)
                # They failed: no run takes them for what another seed would have made.
                _, run = self.run_tests("loads", *folder, "--seed", "99", "--stages", "native_inference",
                                        code=1)
                self.ends(run, "loads.onnx", "native_inference", "error", says="construct_inputs")
                loads(0)

    def test_no_artifacts_after_a_kill(self):
        """What was not yet removed when the runner died goes when the run goes on, if that is said again."""
        for kept in (False, True):
            with self.subTest(kept=kept):
                folder = self.copy_of_full("cut")
                self.some("cut", "--no-artifacts", code=0)
                path = self.path("cut", "events.jsonl")
                with open(path, "rb") as f:
                    lines = f.readlines()
                with open(path, "wb") as f:
                    f.writelines(lines[:-1])  # without run-end
                for name in ("model.onnx", "output.0.bin"):
                    shutil.copy(self.path("full", "t", name), folder)
                _, run = self.some("cut", "--resume", *([] if kept else ["--no-artifacts"]), code=0)
                self.assertTrue(run.results["complete"])
                self.assertEqual(os.path.exists(os.path.join(folder, "model.onnx")), kept)
                self.assertEqual(os.path.exists(os.path.join(folder, "output.0.bin")), kept)

    def test_run_directory_of_before(self):
        before = self.full.json("t", "stages.json")
        self.copy_of_full("second")
        for name in ("mine.txt", "events.txt"):
            support.write_text(self.path("second", name), "keep me")
        ran, run = self.some("second", code=0)
        self.assertEqual(list(run.tests), ["t"])
        # Other tests' folders and other files stay.
        self.assertTrue(os.path.isfile(self.path("second", "generated", "output.json")))
        self.assertEqual(read_text(self.path("second", "mine.txt")), "keep me")
        self.assertEqual(before["stages"]["compilation"]["files"][0]["name"],
                         run.json("t", "stages.json")["stages"]["compilation"]["files"][0]["name"])

    def test_run_directory_that_is_not_ours(self):
        os.mkdir(self.path("photos"))
        support.write_text(self.path("photos", "cat.jpg"), "x")
        self.refused("run", "--suite", "suite", "-r", "photos",
                     says=["photos", "not empty", "-r"])
        self.assertEqual(os.listdir(self.path("photos")), ["cat.jpg"])

    def test_odd_run_directories(self):
        for name in ("a b;c'd", "deep/er/run", "ünï"):
            _, run = self.some(name, "--stages", *STAGES[:4], code=0)
            self.ends(run, "t", "PASS", "partial")


class ByHand(support.TestCase):
    """gauntlet stage NAME FOLDER"""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_test(cls.path("suite", "t"), unary("Abs"), ([X], [abs(X)]))
        write_test(cls.path("suite", "wrong"), unary("Abs"), ([X], [X]))
        write_test(cls.path("suite", "broken"), unary("NoSuchOperator"))
        cls.ran, cls.run_ = cls.run_tests("run", "--suite", "suite", "-d", "local-sync", code=1)

    def stage(self, name, test, code=0):
        ran = self.gauntlet("stage", name, os.path.join("run", test))
        self.assertEqual(ran.code, code, ran)
        self.assertEqual(ran.out.count("\n"), 1, ran)
        return ran

    def test_every_stage(self):
        for name in STAGES:
            ran = self.stage(name, "t")
            self.assertTrue(ran.out.startswith(f"{name}: ok"), ran)
        self.assertIn("; wrote inference_comparison.log, comparison.json", ran.out)
        ran = self.gauntlet("run", "-r", "run", "--suite", "suite", "t", "-d", "local-sync",
                            "--stages", "comparison")
        self.assertEqual(ran.code, 0, ran)

    def test_failures(self):
        ran = self.stage("comparison", "wrong", code=1)
        self.assertIn("2 of 6 values differ", ran.out)
        ran = self.stage("import_model", "broken", code=1)
        self.assertRegex(ran.out, r"\Aimport_model: .*NoSuchOperator")
        self.assertEqual((ran.out + ran.err).count("NoSuchOperator: "), ran.out.count(
            "NoSuchOperator: "), ran)
        self.assertIn("NoSuchOperator", read_text(self.path("run", "broken", "import_model.log")))
        self.refused("stage", "compilation", "run/broken",
                     says=["there is no 'model.torch_onnx.mlir'", "do stage import_model first"])
        # Only what is there can be trusted.
        shutil.copytree(self.path("run", "t"), self.path("run", "less"))
        os.unlink(self.path("run", "less", "output.0.bin"))
        error = self.refused("stage", "comparison", "run/less", says=[
            "there is no 'output.0.bin'", "do stage compiled_inference first"])
        self.assertNotIn("--trust", error)

    def test_crash(self):
        """It is this process that crashes, which a debugger wants to see."""
        support.write_text(self.path("crash.fake"), '{"c": {"compilation": "signal:ABRT", '
                           '"import_model": "1*signal:SEGV"}}')
        env = {"GAUNTLET_FAKE": "1"}
        _, run = self.run_tests("crash", "--suite", "crash.fake", "--retries", "crash=1", code=1, env=env)
        self.ends(run, "c", "compilation", "crash:SIGABRT")
        before = read_text(run.file("c", "stages.json"))
        ran = self.gauntlet("stage", "compilation", "crash/c", env=env)
        self.assertEqual(ran.code, -signal.SIGABRT, ran)
        self.assertEqual(read_text(run.file("c", "stages.json")), before)

    def test_record_and_log_are_those_of_a_run(self):
        shutil.copytree(self.path("run"), self.path("like"))
        for stage in STAGES:  # one of Python's among them
            before = support.read_json(self.path("like", "t", "stages.json"))
            ran = self.gauntlet("stage", stage, "like/t")
            self.assertEqual(ran.code, 0, ran)
            after = support.read_json(self.path("like", "t", "stages.json"))
            was, now = before["stages"].pop(stage), after["stages"].pop(stage)
            after.pop("sum"), before.pop("sum")  # two stages of nothing may take the same time
            self.assertEqual(after, before)
            self.assertEqual(set(now), set(was), stage)
            for member in ("ok", "why", "message", "attempt", "inputs", "files", "detail", "basis",
                           "output_bytes", "dropped_bytes", "leftovers"):
                if member != "output_bytes":
                    self.assertEqual(now[member], was[member], (stage, member))
            self.assertEqual(now["output_bytes"], 0)
            self.assertEqual(now["tool"]["name"], was["tool"]["name"])
            self.assertGreater(now["seconds"], 0)
            self.assertGreater(now["max_rss_kb"], 0)
        os.unlink(self.path("like", "broken", "import_model.log"))
        self.assertEqual(self.gauntlet("stage", "import_model", "like/broken").code, 1)
        record = support.read_json(self.path("like", "broken", "stages.json"))
        self.assertEqual(record["stages"]["import_model"]["why"], "error")
        self.assertRegex(read_text(self.path("like", "broken", "import_model.log")),
                         "(?s)test    broken\nstage   import_model\nwhy     error\nmessage .*again ")

    def test_a_folder_that_a_run_works_in(self):
        os.makedirs(self.path("held"))
        shutil.copytree(self.path("run", "t"), self.path("held", "t"))
        with open(self.path("held", "run.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refused("stage", "comparison", "held/t", says=["another gauntlet", "held/t"])
            fcntl.flock(lock, fcntl.LOCK_SH)  # as another `gauntlet stage` would
            self.assertEqual(self.gauntlet("stage", "comparison", "held/t").code, 0)
        os.unlink(self.path("held", "run.lock"))
        self.assertEqual(self.gauntlet("stage", "comparison", "held/t").code, 0)

    def test_changes_by_hand_are_trusted_when_asked(self):
        write_test(self.path("more", "edited"), unary("Abs"), ([X], [-abs(X)]))
        flags = ["--suite", "more", "-d", "local-sync"]
        _, run = self.run_tests("hand", *flags, code=1)
        self.ends(run, "edited", "Numerics", "value")
        with open(run.file("edited", "model.onnx"), "wb") as f:
            f.write(unary("Neg").SerializeToString())
        before = run.text("edited", "stages.json")
        self.refused("stage", "import_model", "hand/edited",
                     says=["'model.onnx'", "changed", "--trust"])
        self.assertEqual(run.text("edited", "stages.json"), before)
        ran = self.gauntlet("stage", "--trust", "import_model", "hand/edited")
        self.assertEqual(ran.code, 0, ran)
        stages = run.json("edited", "stages.json")["stages"]
        self.assertTrue(stages["setup"]["files"][0]["by_hand"])
        self.assertEqual(stages["setup"]["files"][0]["hash"],
                         stages["import_model"]["inputs"][0]["hash"])
        ran = self.gauntlet("stage", "compilation", "hand/edited")
        self.assertEqual(ran.code, 0, ran)
        self.assertIn("torch.operator \"onnx.Neg\"", run.text("edited", "model.torch_onnx.mlir"))
        # What was made from the model of before is not used.
        _, run = self.run_tests("hand", *flags, "--stages", "compiled_inference", "comparison",
                                code=1)
        self.ends(run, "edited", "compiled_inference",
                  says=["run stage construct_inputs too", "another 'model.onnx'"])
        _, run = self.run_tests("hand", *flags, "--skip-stages", "setup", "import_model",
                                "preprocessing", "compilation", "--", code=1)
        self.ends(run, "edited", "Numerics", "value")


if __name__ == "__main__":
    unittest.main()
