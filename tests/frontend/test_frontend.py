"""Tests of the Python frontend, through a real host process and its forked jobs."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import runner  # noqa: E402

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

NODES = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "node")


class HostCase(unittest.TestCase):
    """One host for all tests of a class, a folder for each."""

    @classmethod
    def setUpClass(cls):
        cls.host = runner.Host()
        if "error" in cls.host.identity:
            raise RuntimeError(cls.host.identity["error"])

    @classmethod
    def tearDownClass(cls):
        code, errors = cls.host.close()
        if code != 0:
            raise RuntimeError(f"the host ended with {code}: {errors}")

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="gauntlet-test-")
        self.addCleanup(temporary.cleanup)
        self.folder = os.path.join(temporary.name, "test")
        self.beside = os.path.join(temporary.name, "user")
        os.mkdir(self.folder)
        os.mkdir(self.beside)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read()

    def request(self, stage, case=None, records=None, **options):
        test = {"id": "t", "name": "t", "kind": "onnx", "opset": 21, **(case or {})}
        return {"action": "stage", "stage": stage, "folder": self.folder, "test": test,
                "options": {"seed": 0, **options}, "records": records or {}}

    def assertRefused(self, reply, code, text):
        self.assertFalse(reply["ok"], reply)
        self.assertEqual(code, reply["code"], reply)
        self.assertIn(text, reply["message"])
        self.assertNotIn("\n", reply["message"])


def add_model(opset=21, name="g", domain="", weights=None, **more):
    """y = x + w."""
    w = np.arange(8, dtype=np.float32) if weights is None else weights
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(w.shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(w.shape))],
        [numpy_helper.from_array(w, "w")])
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=8, **more)


class Importing(HostCase):
    def imported(self, model=None, opset=21):
        if isinstance(model, str):
            shutil.copy(os.path.join(NODES, model, "model.onnx"), self.path("model.onnx"))
        elif model is not None:
            onnx.save(model, self.path("model.onnx"))
        reply = self.host.ask(self.request("import_model", {"opset": opset}))
        hidden = [n for n in os.listdir(self.folder) if n.startswith(".")]
        self.assertEqual([], hidden, "temporary files are left")
        self.assertEqual(reply["ok"], os.path.exists(self.path("import.json")))
        return reply

    def test_node_test(self):
        reply = self.imported("test_abs")
        self.assertTrue(reply["ok"], reply)
        facts = {"format": 1, "function": "test_abs", "opset_before": 13, "opset_after": 21,
                 "ir_version": 7}
        self.assertEqual(facts, reply["detail"])
        self.assertEqual(facts, json.loads(self.read("import.json")))
        text = self.read("model.torch_onnx.mlir")
        self.assertIn('torch.operator "onnx.Abs"', text)
        self.assertIn("opset_version = 21", text)
        self.assertEqual(["model.torch_onnx.mlir", "import.json"],
                         [f["name"] for f in reply["files"]])
        self.assertEqual(len(text), reply["files"][0]["bytes"])
        self.assertRegex(reply["files"][0]["hash"], r"\A[0-9a-f]{32}\Z")
        self.assertEqual("", reply["log"])

    def test_same_as_the_tool(self):
        for name in ("test_if", "test_layer_normalization_2d_axis1_expanded"):
            with self.subTest(name):
                self.assertTrue(self.imported(name)["ok"])
                tool = subprocess.run(
                    [sys.executable, "-m", "iree.compiler.tools.import_onnx",
                     self.path("model.onnx"), "--opset-version", "21"],
                    stdout=subprocess.PIPE, check=True, text=True)
                self.assertEqual(tool.stdout, self.read("model.torch_onnx.mlir"))

    def test_opset_is_raised_never_lowered(self):
        for before, target, after in ((13, 21, 21), (22, 21, 22), (13, 0, 13), (21, 21, 21)):
            with self.subTest(before=before, target=target):
                reply = self.imported(add_model(before), target)
                self.assertTrue(reply["ok"], reply)
                self.assertEqual(before, reply["detail"]["opset_before"])
                self.assertEqual(after, reply["detail"]["opset_after"])
                self.assertIn(f"opset_version = {after} ", self.read("model.torch_onnx.mlir"))

    def test_opset_of_other_domains(self):
        # The first opset is not ONNX's own: raising by it would lower the model to 21.
        model = add_model(22)
        own = model.opset_import.pop()
        model.opset_import.extend([helper.make_opsetid("ai.onnx.ml", 3), own])
        reply = self.imported(model)
        self.assertTrue(reply["ok"], reply)
        self.assertEqual(22, reply["detail"]["opset_after"])
        reply = self.imported("test_ai_onnx_ml_binarizer")
        self.assertTrue(reply["ok"], reply)
        self.assertEqual((1, 1), (reply["detail"]["opset_before"], reply["detail"]["opset_after"]))

    def test_no_model(self):
        self.assertRefused(self.imported(), "not_found", "there is no model")

    def test_broken_models(self):
        with open(os.path.join(NODES, "test_abs", "model.onnx"), "rb") as f:
            whole = f.read()
        for data, text in ((b"\xff" * 100, "is not an ONNX model"), (b"", "names no opset"),
                           (whole[:-20], "is not an ONNX model"), (b"{}", "is not an ONNX model")):
            with self.subTest(data=data[:10]):
                for name in ("model.torch_onnx.mlir", "import.json"):
                    with open(self.path(name), "w", encoding="utf-8") as f:
                        f.write("{}")  # of an earlier run
                with open(self.path("model.onnx"), "wb") as f:
                    f.write(data)
                self.assertRefused(self.imported(), "bad_data", text)

    def test_failures_name_their_step(self):
        reply = self.imported(add_model(13, name=""))
        self.assertRefused(reply, "engine", "check of the model: ValidationError: Field 'name'")
        self.assertIn("Traceback", reply["log"])
        reply = self.imported("test_castlike_FLOAT_to_INT2")
        self.assertRefused(reply, "engine", "import: OnnxImportError: Unknown ONNX tensor element")
        bad = add_model(6)
        bad.graph.node[0].op_type = "Upsample"
        reply = self.imported(bad)
        self.assertRefused(reply, "engine", "raising the opset from 6 to 21: ")

    def test_graph_names(self):
        for name in ("a b", 'a"b', "\u00e9\u4e2d", "1x", "a;touch x", "x" * 5000, "new\nline"):
            with self.subTest(name=name[:10]):
                reply = self.imported(add_model(name=name))
                self.assertTrue(reply["ok"], reply)
                self.assertEqual(name, json.loads(self.read("import.json"))["function"])
        self.assertRefused(self.imported(add_model(name="a\0b")), "unsupported", "zero byte")

    def test_long_message_is_cut(self):
        model = add_model()
        model.graph.node[0].op_type = "NoSuch" + "\u00e9" * 100000
        reply = self.imported(model)
        self.assertRefused(reply, "engine", "check of the model: ValidationError")
        self.assertLessEqual(len(reply["message"].encode()), 1500)

    # ---- external data ----

    def external(self, folder, opset=13, location="w.data"):
        onnx.save(add_model(opset, weights=np.arange(4096, dtype=np.float32)),
                  os.path.join(folder, "model.onnx"), save_as_external_data=True,
                  location="w.data", size_threshold=0)
        if location != "w.data":
            model = onnx.load(os.path.join(folder, "model.onnx"), load_external_data=False)
            model.graph.initializer[0].external_data[0].value = location
            onnx.save(model, os.path.join(folder, "model.onnx"))

    def test_external_data(self):
        weights = np.arange(4096, dtype=np.float32)
        self.assertTrue(self.imported(add_model(13, weights=weights))["ok"])
        inside = self.read("model.torch_onnx.mlir")
        self.external(self.folder)
        self.assertTrue(self.imported()["ok"])
        self.assertEqual(inside, self.read("model.torch_onnx.mlir"))

    def test_external_data_beside_the_target_of_a_link(self):
        self.external(self.beside)
        os.symlink(os.path.join(self.beside, "model.onnx"), self.path("model.onnx"))
        self.assertTrue(self.imported()["ok"])

    def test_external_data_that_is_not_there(self):
        self.external(self.folder)
        os.unlink(self.path("w.data"))
        self.assertRefused(self.imported(), "bad_data", "external data: ")

    def test_external_data_elsewhere(self):
        with open(os.path.join(self.beside, "w.data"), "wb") as f:
            f.write(b"\0" * 16384)
        for location in ("../user/w.data", os.path.join(self.beside, "w.data")):
            with self.subTest(location):
                self.external(self.folder, location=location)
                self.assertRefused(self.imported(), "bad_data", "external data: ")

    def test_model_too_big_for_one_message(self):
        # The same steps with the limit at zero, on a model whose opset must be raised.
        constant = add_model(13, weights=np.arange(4096, dtype=np.float32))
        w = constant.graph.initializer.pop()
        constant.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=w))
        for number, model in enumerate((None, constant)):
            with self.subTest(number):
                if model is None:
                    self.external(self.folder)
                else:
                    onnx.save(model, self.path("model.onnx"), save_as_external_data=True,
                              location=f"c{number}.data", size_threshold=0, convert_attribute=True)
                self.assertTrue(self.imported()["ok"])
                whole = self.read("model.torch_onnx.mlir")
                script = (
                    "import sys; sys.path.insert(0, sys.argv[1]);"
                    "from gauntlet import importer; importer.warm_up();"
                    "print(importer.import_model(sys.argv[2], 21, in_memory_max=0)[1])")
                done = subprocess.run(
                    [sys.executable, "-Ic", script, os.path.join(runner.ROOT, "frontend"),
                     self.folder], stdout=subprocess.PIPE, text=True, check=True)
                self.assertIn("'opset_before': 13, 'opset_after': 21", done.stdout)
                self.assertEqual(whole, self.read("model.torch_onnx.mlir"))

    # ---- the host ----

    def test_identity_and_threads(self):
        self.assertEqual("frontend", self.host.identity["name"])
        self.assertEqual(onnx.__version__, self.host.identity["version"])
        self.assertRegex(self.host.identity["build"],
                         r"^frontend [0-9a-f]{16}, Python 3.*, iree-base-compiler ")
        self.assertEqual(1, self.host.threads())

    def test_import_is_fast(self):
        shutil.copy(os.path.join(NODES, "test_add", "model.onnx"), self.path("model.onnx"))
        times = []
        for _ in range(7):
            start = time.perf_counter()
            self.assertTrue(self.host.ask(self.request("import_model"))["ok"])
            times.append(time.perf_counter() - start)
        print(f"import_model in a forked job: {statistics.median(times) * 1e3:.1f} ms")
        self.assertLess(min(times), 0.2)  # 0.02 on a quiet machine, and any may stand still

    def test_records_are_checked(self):
        reply = self.imported("test_abs")
        known = {f["name"]: f["hash"] for f in reply["files"]}
        request = self.request("import_model", records=known)
        self.assertTrue(self.host.ask(request)["ok"])
        with open(self.path("model.torch_onnx.mlir"), "a", encoding="utf-8") as f:
            f.write(" ")
        self.assertRefused(self.host.ask(request), "bad_data", "'model.torch_onnx.mlir' is not the")
        os.unlink(self.path("model.torch_onnx.mlir"))
        self.assertRefused(self.host.ask(request), "not_found", "model.torch_onnx.mlir")
        os.mkfifo(self.path("model.torch_onnx.mlir"))  # nobody waits for who might write to it
        self.assertRefused(self.host.ask(request), "bad_data", "is not a regular file")

    def test_bad_requests(self):
        good = self.request("import_model")
        for change, code, text in (
                ({"action": "dance"}, "bad_usage", '"dance"'),
                ({"action": None}, "bad_data", '"action"'),
                ({"stage": "compilation"}, "bad_usage", "compilation"),
                ({"stage": "setup"}, "bad_usage", "setup"),
                ({"folder": "/nowhere"}, "not_found", "/nowhere"),
                ({"folder": 7}, "bad_data", "text"),
                ({"folder": self.folder + "\0x"}, "bad_data", "text"),
                ({"test": []}, "bad_data", '"test"'),
                ({"test": {}}, "bad_data", '"kind"')):
            with self.subTest(change):
                self.assertRefused(self.host.ask({**good, **change}), code, text)
        self.assertRefused(self.host.ask([]), "bad_data", '"action"')

    def test_folder_that_is_not_utf8(self):
        raw = os.fsencode(self.folder) + b"/\xff"
        os.mkdir(raw)
        shutil.copy(os.path.join(NODES, "test_abs", "model.onnx"), raw + b"/model.onnx")
        request = self.request("import_model")
        request["folder"] = {"hex": raw.hex()}
        self.assertTrue(self.host.ask(request)["ok"])
        self.assertTrue(os.path.exists(raw + b"/import.json"))


class HostStart(unittest.TestCase):
    def test_hostile_working_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("onnx", "json", "numpy", "gauntlet", "ctypes", "iree"):
                with open(os.path.join(folder, name + ".py"), "w", encoding="utf-8") as f:
                    f.write("raise SystemExit('shadowed')\n")
            host = runner.Host(cwd=folder)
            self.assertEqual("frontend", host.identity.get("name"), host.identity)
            self.assertEqual((0, ""), host.close())

    def test_library_that_is_not_there(self):
        host = runner.Host(library="/nowhere/libgauntlet_worker.so")
        self.assertIsNone(host.identity)
        code, errors = host.close()
        self.assertEqual(3, code)
        self.assertIn("cannot load '/nowhere/libgauntlet_worker.so'", errors)

    def test_packages_that_are_not_there(self):
        host = runner.Host(options=("-I", "-S"))  # without site-packages
        self.assertIn("run tools/setup", host.identity["error"])
        self.assertIn("No module named", host.identity["error"])
        self.assertEqual(3, host.close()[0])


STATEFUL = '''
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from gauntlet import OnnxTest, register

class Base(OnnxTest):
    type = TensorProto.FLOAT
    def construct_model(self):
        self.w = self.rng.random(4).astype(np.float32)
        graph = helper.make_graph(
            [helper.make_node("Add", ["x", "w"], ["y"])], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
            [numpy_helper.from_array(self.w, "w")])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

'''


class Classes(HostCase):
    def file(self, text, name="tests.py"):
        path = os.path.join(self.beside, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(STATEFUL + text)
        return path

    def case(self, text, name="t"):
        return {"id": "id of " + name, "name": name, "kind": "python", "model": self.file(text),
                "opset": 0}

    def values(self, stem):
        listed = json.loads(self.read(stem + ".json"))["values"]
        types = {"float": np.float32, "int64": np.int64, "uint8": np.uint8, "bool": np.bool_}
        folder = os.path.dirname(stem)
        return [np.fromfile(self.path(folder, v["file"]), types[v["type"]]).reshape(v["dims"])
                for v in listed]

    def write_values(self, stem, arrays, **more):
        """As the compiled program's stage would."""
        host_values = []
        for i, a in enumerate(arrays):
            a.tofile(self.path(f"{stem}.{i}.bin"))
            name = TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(a.dtype)).lower()
            digest = hash_of(a.tobytes())
            host_values.append({
                "name": "y", "kind": "tensor", "type": name, "dims": list(a.shape),
                "file": f"{stem}.{i}.bin", "bytes": a.nbytes, "hash": digest, **more})
        with open(self.path(stem + ".json"), "w", encoding="utf-8") as f:
            json.dump({"format": 1, "values": host_values}, f)

    def instance(self, case, *stages, **options):
        """Replies of one instance process, and how it ended."""
        job = self.host.job(instance=True)
        replies = []
        for stage in stages:
            replies.append(job.ask(self.request(stage, case, **options)))
        return (*replies, job.end())

    STATE = '''
@register("t")
class T(Base):
    def __init__(self):
        self.calls = ["init"]
    def construct_model(self):
        self.calls.append("model")
        return super().construct_model()
    def construct_inputs(self):
        self.calls.append("inputs")
        self.x = self.rng.random(4).astype(np.float32)
        return [self.x]
    def forward(self, inputs):
        self.calls.append("forward")
        assert np.array_equal(inputs[0], self.x)
        print("forward was here")
        return [inputs[0] + self.w]
    def apply_postprocessing(self, outputs):
        self.calls.append("post")
        print(" ".join(self.calls))
        return [np.argsort(outputs[0]).astype(np.int64), outputs[0] * 2]
'''

    def test_state_lives_through_the_hooks(self):
        case = self.case(self.STATE)
        job = self.host.job(instance=True)
        names = []
        for stage in ("setup", "construct_inputs", "native_inference"):
            reply = job.ask(self.request(stage, case))
            self.assertTrue(reply["ok"], reply)
            names += [f["name"] for f in reply["files"]]
        self.assertEqual(["model.onnx", "input.0.bin", "input.json", "golden_output.0.bin",
                          "golden_output.json"], names)
        golden = self.values("golden_output")[0]
        model = onnx.load(self.path("model.onnx"))
        w = numpy_helper.to_array(model.graph.initializer[0])
        np.testing.assert_array_equal(self.values("input")[0] + w, golden)
        self.write_values("output", [golden[::-1].copy()])
        reply = job.ask(self.request("postprocessing", case))
        self.assertTrue(reply["ok"], reply)
        self.assertIn("processed/golden_output.1.bin", [f["name"] for f in reply["files"]])
        np.testing.assert_array_equal(golden * 2, self.values("processed/golden_output")[1])
        np.testing.assert_array_equal(np.argsort(golden[::-1]), self.values("processed/output")[0])
        ended, log = job.end()
        self.assertEqual("", ended)
        self.assertIn("forward was here", log)
        self.assertIn("init model inputs forward post post", log)

    def test_resumed_instance_replays_hooks(self):
        case = self.case(self.STATE)
        *replies, _ = self.instance(case, "setup", "construct_inputs", "native_inference")
        self.assertTrue(all(r["ok"] for r in replies), replies)
        before = {n: os.stat(self.path(n)).st_mtime_ns for n in os.listdir(self.folder)}
        self.write_values("output", self.values("golden_output"))
        os.symlink(self.beside, self.path("processed"))  # nothing is written through it
        reply, _ = self.instance(case, "postprocessing")
        self.assertRefused(reply, "bad_data", "processed' is a link")
        os.unlink(self.path("processed"))
        reply, (_, log) = self.instance(case, "postprocessing")
        self.assertTrue(reply["ok"], (reply, log))
        self.assertIn("init model inputs forward post post", log)
        after = {n: os.stat(self.path(n)).st_mtime_ns for n in before}
        self.assertEqual(before, after, "a replay must not write the earlier stages' files")
        self.assertEqual([], [n for n in os.listdir(self.folder) if n.startswith(".")])
        # A stage asked for twice runs on the same object.
        first, second, (_, log) = self.instance(case, "construct_inputs", "native_inference")
        self.assertTrue(first["ok"] and second["ok"], (first, second, log))

    def test_replay_that_gives_something_else(self):
        for hook, text in (("construct_model", "model that an earlier run left"),
                           ("construct_inputs", "inputs that an earlier run left")):
            with self.subTest(hook):
                case = self.case(f'''
import os
@register("t")
class T(Base):
    def construct_inputs(self):
        self.x = np.frombuffer(os.urandom(4), np.uint8).astype(np.float32)
        return [self.x if "{hook}" == "construct_inputs" else np.zeros(4, np.float32)]
    def construct_model(self):
        model = super().construct_model()
        model.doc_string = os.urandom(8).hex() if "{hook}" == "construct_model" else ""
        return model
''')
                *replies, _ = self.instance(case, "setup", "construct_inputs")
                self.assertTrue(all(r["ok"] for r in replies), replies)
                reply, _ = self.instance(case, "native_inference")
                self.assertRefused(reply, "mismatch", text)

    def test_random_numbers_are_repeated_and_follow_the_seed(self):
        case = self.case('''
import random
@register("t")
class T(Base):
    def construct_inputs(self):
        return [np.array([self.rng.random(), random.random(), np.random.rand(), 0], np.float32)]
''')
        seen = []
        for seed in (0, 0, 1):
            *replies, _ = self.instance(case, "setup", "construct_inputs", seed=seed)
            self.assertTrue(all(r["ok"] for r in replies), replies)
            seen.append(self.values("input")[0])
        np.testing.assert_array_equal(seen[0], seen[1])
        self.assertEqual(0, np.sum(seen[0][:3] == seen[2][:3]))

    def test_default_hooks(self):
        case = self.case('@register("t")\nclass T(Base): pass\n')
        job = self.host.job(instance=True)
        self.assertTrue(job.ask(self.request("setup", case))["ok"])
        reply = job.ask(self.request("construct_inputs", case))
        self.assertEqual((True, [], {"builtin": True}),
                         (reply["ok"], reply["files"], reply["detail"]))
        x = np.array([1, 2, 3, 4], np.float32)
        self.write_values("input", [x])
        reply = job.ask(self.request("native_inference", case))
        self.assertTrue(reply["ok"], reply)
        self.assertEqual("onnxruntime", reply["detail"]["source"])
        w = numpy_helper.to_array(onnx.load(self.path("model.onnx")).graph.initializer[0])
        np.testing.assert_array_equal(x + w, self.values("golden_output")[0])
        self.write_values("output", [x])
        reply = job.ask(self.request("postprocessing", case))
        self.assertTrue(reply["detail"]["identity"])
        np.testing.assert_array_equal(x, self.values("processed/output")[0])
        job.end()

    def test_choice_of_the_reference(self):
        own = self.case('''
@register("t")
class T(Base):
    def construct_inputs(self): return [np.ones(4, np.float32)]
    def forward(self, inputs): return [np.zeros(4, np.float32)]
@register("plain")
class P(Base):
    def construct_inputs(self): return [np.ones(4, np.float32)]
''')
        for reference, zeros in (("", True), ("stored", True), ("ort", False)):
            *replies, _ = self.instance(
                own, "setup", "construct_inputs", "native_inference", reference=reference)
            self.assertTrue(replies[-1]["ok"], replies)
            self.assertEqual(zeros, not self.values("golden_output")[0].any(), reference)
        *_, reply, _ = self.instance(
            {**own, "name": "plain"}, "setup", "construct_inputs", "native_inference",
            reference="stored")
        self.assertRefused(reply, "bad_usage", "forward")

    def test_load_inputs(self):
        case = self.case(self.STATE.replace("assert np.array_equal(inputs[0], self.x)", "pass"))
        *_, refused, _ = self.instance(case, "setup", "construct_inputs", load_inputs=True)
        self.assertRefused(refused, "not_found", "input.json")
        x = np.array([5, 6, 7, 8], np.float32)
        self.write_values("input", [x])
        *_, kept, golden, _ = self.instance(
            case, "setup", "construct_inputs", "native_inference", load_inputs=True)
        self.assertTrue(kept["ok"] and golden["ok"], (kept, golden))
        self.assertEqual(["input.0.bin", "input.json"], [f["name"] for f in kept["files"]])
        w = numpy_helper.to_array(onnx.load(self.path("model.onnx")).graph.initializer[0])
        np.testing.assert_array_equal(x + w, self.values("golden_output")[0])

    def test_changed_value_file_is_refused(self):
        case = self.case(self.STATE)
        self.instance(case, "setup", "construct_inputs")
        with open(self.path("input.0.bin"), "r+b") as f:
            f.write(b"\x01")
        reply, _ = self.instance(case, "native_inference")
        self.assertRefused(reply, "bad_data", "input.0.bin")
        os.truncate(self.path("input.0.bin"), 3)
        reply, _ = self.instance(case, "native_inference")
        self.assertRefused(reply, "bad_data", "3 bytes")

    def test_hostile_records_of_values(self):
        case = self.case(self.STATE)
        self.instance(case, "setup", "construct_inputs")
        value = json.loads(self.read("input.json"))["values"][0]
        texts = ["[" * 100000, '{"format":1,"format":1,"values":[]}', '{"format":2,"values":[]}', "\0"]
        for change in (
                {"dims": [2 ** 40]}, {"dims": [-1, -4]}, {"dims": [10 ** 4000]}, {"dims": "4"},
                {"dims": [1] * 100 + [4]}, {"type": "double"}, {"type": ["float"]}, {"hash": None},
                {"file": "../input.0.bin"}, {"file": "/etc/passwd"}, {"kind": "sequence"}):
            texts.append(json.dumps({"format": 1, "values": [{**value, **change}]}))
        for text in texts:
            with open(self.path("input.json"), "w", encoding="utf-8") as f:
                f.write(text)
            reply, _ = self.instance(case, "native_inference")
            self.assertIn(reply["code"], ("bad_data", "unsupported"), (text[:200], reply))
            self.assertIn("input.json", reply["message"])
    def test_shorter_set_removes_longer(self):
        case = self.case(self.STATE)
        for i in range(12):
            with open(self.path(f"input.{i}.bin"), "wb") as f:
                f.write(b"x")
        self.instance(case, "setup", "construct_inputs")
        self.assertEqual(["input.0.bin"],
                         sorted(n for n in os.listdir(self.folder) if n.startswith("input.") and
                                n.endswith(".bin")))

    def test_signless_outputs_take_the_golden_sign(self):
        case = self.case('''
@register("t")
class T(Base):
    def apply_postprocessing(self, outputs):
        return [o // 2 for o in outputs]
''')
        self.instance(case, "setup")
        self.write_values("input", [np.zeros(4, np.float32)])
        self.write_values("golden_output", [np.array([250, 3], np.uint8)])
        self.write_values("output", [np.array([-6, 3], np.int8)], signless=True)
        reply, _ = self.instance(case, "postprocessing")
        self.assertTrue(reply["ok"], reply)
        np.testing.assert_array_equal([125, 1], self.values("processed/output")[0])

    # ---- failures of users' classes ----

    def test_exceptions(self):
        for body, code, text in (
                ("raise ValueError('first\\nsecond')", "engine",
                 "construct_model: ValueError: first"),
                ("import sys; sys.exit(3)", "engine", "construct_model: SystemExit: 3"),
                ("raise KeyboardInterrupt", "engine", "construct_model: KeyboardInterrupt"),
                ("raise MemoryError", "no_memory", "construct_model: not enough memory"),
                ("return 7", "bad_usage", "not int"),
                ("return None", "bad_usage", "neither returned a model nor wrote"),
                ("import onnx; return onnx.ModelProto()", "bad_data", "check of the model"),
                ("class E(Exception):\n            def __str__(self): raise self\n"
                 "        raise E()", "engine", "construct_model: E"),
                ("raise Exception('\\udcff\\x1b[31m')", "engine", "construct_model: Exception: ")):
            with self.subTest(body):
                case = self.case(f'''
@register("t")
class T(Base):
    def construct_model(self):
        {body}
''')
                reply, (ended, log) = self.instance(case, "setup")
                self.assertRefused(reply, code, text)
                self.assertEqual("", ended)
                self.assertIn(reply["message"], log)
                if "raise" in body and "__str__" not in body:
                    self.assertIn("Traceback", log)
                    self.assertIn("tests.py", log)
                    self.assertNotIn("instance.py", log)

    def test_wrong_results(self):
        for body, code, text in (
                ("return np.zeros(4, np.float32)", "bad_usage", "not ndarray"),
                ("return [[1, 2, 3, 4]]", "bad_usage", "item 0 is list"),
                ("return [np.zeros(4)]", "mismatch", "is double, but the model says float"),
                ("return []", "mismatch", "0 arrays, but the model has 1 inputs: x"),
                ("return [np.zeros((1, 4), np.float32)]", "mismatch", "1x4, but the model says ?"),
                ("return [np.array(['a'], object)]", "unsupported", "string"),
                ("return [np.zeros(4, np.complex64)]", "unsupported", "complex64"),
                ("return [np.zeros(4, 'datetime64[s]')]", "unsupported", "datetime64")):
            with self.subTest(body):
                case = self.case(f'''
@register("t")
class T(Base):
    def construct_inputs(self):
        {body}
''')
                _, reply, _ = self.instance(case, "setup", "construct_inputs")
                self.assertRefused(reply, code, text)

    def test_a_refused_hook_leaves_the_instance_usable(self):
        case = self.case('''
@register("t")
class T(Base):
    tries = 0
    def construct_inputs(self):
        self.tries += 1
        if self.tries == 1: raise OSError("once")
        return [np.zeros(4, np.float32)]
''')
        _, first, second, _ = self.instance(case, "setup", "construct_inputs", "construct_inputs")
        self.assertRefused(first, "engine", "OSError: once")
        self.assertTrue(second["ok"], second)

    def test_crash_of_a_hook(self):
        case = self.case('''
import os
@register("t")
class T(Base):
    def construct_model(self):
        os.abort()
''')
        reply, (ended, log) = self.instance(case, "setup")
        self.assertIsNone(reply)
        self.assertEqual("SIGABRT", ended)
        self.assertIn("in construct_model", log)  # where Python stood

    def test_layouts_and_types(self):
        case = self.case('''
import ml_dtypes
@register("t")
class T(OnnxTest):
    def construct_model(self):
        v = lambda n, t, s: helper.make_tensor_value_info(n, t, s)
        T = TensorProto
        graph = helper.make_graph(
            [helper.make_node("Identity", [a], [b]) for a, b in zip("abc", "pqr")],
            "g", [v("a", T.FLOAT, [2, 3]), v("b", T.BFLOAT16, [2]), v("c", T.BOOL, [])],
            [v("p", T.FLOAT, [2, 3]), v("q", T.BFLOAT16, [2]), v("r", T.BOOL, [])])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    def construct_inputs(self):
        a = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
        return [a, np.array([1.5, -2], ml_dtypes.bfloat16), np.bool_(True)]
''')
        *replies, (_, log) = self.instance(case, "setup", "construct_inputs", "native_inference")
        self.assertTrue(replies[-1]["ok"], (replies, log))
        for stem in ("input", "golden_output"):
            listed = json.loads(self.read(stem + ".json"))["values"]
            self.assertEqual([("float", [2, 3]), ("bfloat16", [2]), ("bool", [])],
                             [(v["type"], v["dims"]) for v in listed])
            np.testing.assert_array_equal(
                np.arange(6), np.fromfile(self.path(stem + ".0.bin"), "<f4"))
            with open(self.path(stem + ".1.bin"), "rb") as f:
                self.assertEqual(bytes.fromhex("c03f00c0"), f.read())
            with open(self.path(stem + ".2.bin"), "rb") as f:
                self.assertEqual(b"\1", f.read())

    # ---- files ----

    def listing(self, path):
        out = os.path.join(self.beside, "list.json")
        reply = self.host.ask({"action": "list", "file": path, "out": out})
        if not reply["ok"]:
            return reply, None
        with open(out, encoding="utf-8") as f:
            return reply, json.load(f)

    def test_listing(self):
        path = self.file('''
for size in (3, 1, 2):
    @register(f"size {size}")
    class T(Base): pass
print("noise")
''')
        reply, listed = self.listing(path)
        names = ["size 3", "size 1", "size 2"]
        self.assertEqual({"format": 1, "file": path, "tests": names}, listed)
        self.assertEqual({"tests": 3}, reply["detail"])
        self.assertEqual("noise\n", reply["log"])
        self.assertEqual([], [n for n in os.listdir(self.beside) if "cache" in n])

    def test_listing_of_the_example(self):
        _, listed = self.listing(os.path.join(runner.ROOT, "examples", "scaled_gelu.py"))
        self.assertIn("scaled_gelu_top3", listed["tests"])

    def test_helpers_beside_the_file(self):
        self.file("SIZE = 4\n", "helper_module_beside.py")
        self.file("raise SystemExit('shadowed')\n", "onnx.py")
        _, listed = self.listing(self.file(
            "from helper_module_beside import SIZE\n@register(f't{SIZE}')\nclass T(Base): pass\n"))
        self.assertEqual(["t4"], listed["tests"])

    def test_files_that_cannot_be_listed(self):
        for text, code, message in (
                ("def", "engine", ": SyntaxError: invalid syntax (tests.py, line"),
                ("raise SyntaxError('odd', (5, 'x', [], None))", "engine", "tests.py:"),
                ("x = 1", "not_found", "registers no test"),
                ("import no_such_module", "engine", "ModuleNotFoundError"),
                ("@register('a')\nclass A: pass", "engine", "subclass of OnnxTest"),
                ("@register('')\nclass A(Base): pass", "engine", "name of the test"),
                ("@register('a\\nb')\nclass A(Base): pass", "engine", "name of the test"),
                ("@register('a')\nclass A(Base): pass\n@register('a')\nclass B(Base): pass",
                 "engine", "two tests are registered as 'a'")):
            with self.subTest(text):
                self.assertRefused(self.listing(self.file(text))[0], code, message)
        self.assertRefused(self.listing("/nowhere/x.py")[0], "not_found", "/nowhere/x.py")

    def test_name_that_is_not_registered(self):
        reply, _ = self.instance(self.case('@register("t")\nclass T(Base): pass', "u"), "setup")
        self.assertRefused(reply, "not_found", "no test called 'u'")

    # ---- by hand ----

    def command(self, *arguments):
        return subprocess.run([sys.executable, "-I", runner.MAIN, *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def by_hand(self, stage, case):
        """The "stage" command: how it ended, and its reply."""
        request, reply = self.path("request.json"), self.path("reply.json")
        with open(request, "w", encoding="utf-8") as f:
            json.dump({"action": "stage", "stage": stage, "folder": self.folder, "test": case,
                       "options": {"seed": 0}}, f)
        done = self.command("stage", request, reply, runner.LIBRARY)
        self.assertEqual((0, ""), (done.returncode, done.stdout), done.stderr)
        with open(reply, encoding="utf-8") as f:
            return done, json.load(f)

    def test_commands(self):
        case = self.case(self.STATE)
        done, reply = self.by_hand("setup", case)
        self.assertEqual((True, ["model.onnx"], ""),
                         (reply["ok"], [file["name"] for file in reply["files"]], done.stderr))
        self.assertEqual("frontend", reply["tool"]["name"])
        done, reply = self.by_hand("postprocessing", case)
        self.assertEqual(False, reply["ok"])
        self.assertIn("input.json", reply["message"])
        self.assertNotIn(reply["message"], done.stderr)  # who asked shows it
        done = self.command("stage", "/nowhere", self.path("x"), runner.LIBRARY)
        self.assertEqual(3, done.returncode)
        self.assertIn("/nowhere", done.stderr)
        done = self.command("list", case["model"])
        self.assertEqual((0, "t\n"), (done.returncode, done.stdout), done.stderr)
        self.assertEqual(1, self.command("list", "/nowhere.py").returncode)
        self.assertEqual(2, self.command().returncode)


def hash_of(data):
    import ctypes

    library = ctypes.CDLL(runner.LIBRARY)
    out = ctypes.create_string_buffer(33)
    library.gt_worker_hash(data, ctypes.c_size_t(len(data)), out)
    return out.value.decode()


if __name__ == "__main__":
    unittest.main()
