"""Test classes at work: one object per test, whose hooks are the stages of that test."""

import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import random
import sys
import tempfile

import numpy as np
import onnx
import onnx.checker

from gauntlet import files, importer, testclass, values
from gauntlet.failure import Failure, outside

_instances = {}  # id of a test -> Instance; its hooks arrive one after another in one process


def load_file(path):
    """Run a user's file. Returns the classes it registers by name."""
    if not os.path.isfile(path):
        raise Failure("not_found", f"there is no file '{path}'")
    sys.dont_write_bytecode = True  # nothing of ours appears beside a user's files
    # Helpers beside the file can be imported, but come last, so that they shadow nothing.
    folder = os.path.dirname(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.append(folder)
    name = "gauntlet_file_" + hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    if name not in sys.modules:
        loader = importlib.machinery.SourceFileLoader(name, path)
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        with outside(f"loading '{os.path.basename(path)}'", folder=folder):
            spec.loader.exec_module(module)
    return testclass.registered()


def list_tests(path, out):
    """The "list" action: write the names of a file's tests, in its order. Returns the detail."""
    names = list(load_file(path))
    if not names:
        raise Failure(
            "not_found", f"'{path}' registers no test: put @register(\"name\") before a class")
    files.write_json(out, {"format": 1, "file": files.text_to(path), "tests": names})
    return {"tests": len(names)}


def serve(stage, folder, case, options):
    """Serve one of the stages that a test class may define. Returns (written, detail)."""
    key = files.text_of(files.member(case, "id"))
    if stage == "setup" or key not in _instances:
        _instances[key] = Instance(folder, case, options)
    return getattr(_instances[key], "stage_" + stage)()


STAGES = ("setup", "construct_inputs", "native_inference", "postprocessing")


_REPLAY = ("{} does not give the {} that an earlier run left: run the test again from {}, and draw "
           "random numbers from self.rng")


def _noted(method):
    """Note in `done` that a stage went well: `_need` has not to replay its hook."""

    @functools.wraps(method)
    def wrapper(self):
        result = method(self)
        self.done.add(method.__name__)
        return result

    return wrapper


class Instance:
    """An object of the user's class and what has been done with it."""

    def __init__(self, folder, case, options):
        self.folder = folder
        self.id = files.text_of(files.member(case, "id"))
        self.name = files.text_of(files.member(case, "name"))
        self.seed = options.get("seed", 0)
        self.reference = options.get("reference", "")
        self.load_inputs = bool(options.get("load_inputs", False))
        self.done = set()
        path = files.text_of(files.member(case, "model"))
        classes = load_file(path)
        if self.name not in classes:
            raise Failure("not_found", f"'{path}' registers no test called '{self.name}'")
        cls = classes[self.name]
        self.test = cls.__new__(cls)
        self.test.name = self.name
        self.test.folder = folder
        self.test.model_path = os.path.join(folder, "model.onnx")
        self.test.seed = self.seed
        self._call("__init__")

    def _call(self, hook, *args):
        """Call a hook, with all randomness seeded for it alone."""
        text = f"{self.seed}\0{self.id}\0{hook}".encode("utf-8", "surrogateescape")
        number = int.from_bytes(hashlib.sha256(text).digest()[:8], "little")
        random.seed(number)
        np.random.seed(number & 0xFFFFFFFF)
        self.test.rng = np.random.default_rng(number)
        with outside(hook):
            return getattr(self.test, hook)(*args)

    def _overrides(self, hook):
        return getattr(type(self.test), hook) is not getattr(testclass.OnnxTest, hook)

    # ---- stages ----

    @_noted
    def stage_setup(self):
        path = self.test.model_path
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._construct_model()
        with outside("check of the model", code="bad_data"):
            onnx.checker.check_model(path)
        model = importer.load_skeleton(path)
        return ["model.onnx"] + importer.external_locations(model), {}

    def _construct_model(self):
        path = self.test.model_path
        model = self._call("construct_model")
        if isinstance(model, onnx.ModelProto):
            _save_model(model, path)
        elif model is not None:
            kind = type(model).__name__
            raise Failure(
                "bad_usage", f"construct_model must return an onnx.ModelProto or None, not {kind}")
        elif not os.path.isfile(path):
            raise Failure(
                "bad_usage", "construct_model neither returned a model nor wrote self.model_path")

    @_noted
    def stage_construct_inputs(self):
        self._need("setup")
        if self.load_inputs:
            names, _, _ = values.load(self.folder, "input")  # to see that they are whole
            written = [f"input.{i}.bin" for i in range(len(names))] + ["input.json"]
            return written, {"source": "an earlier run"}
        arrays = self._construct_inputs()
        if arrays is None:
            return [], {"builtin": True}
        inputs, _ = values.ports(importer.load_skeleton(self.test.model_path))
        values.check_against(arrays, inputs, "construct_inputs", "input")
        return values.save(self.folder, "input", [p.name for p in inputs], arrays), {
            "source": "the test class"}

    def _construct_inputs(self):
        result = self._call("construct_inputs")
        return None if result is None else values.as_arrays(result, "construct_inputs")

    @_noted
    def stage_native_inference(self):
        self._need("construct_inputs")
        own = self._overrides("forward")
        if self.reference == "stored" and not own:
            raise Failure("bad_usage", "--reference=stored, but this test class defines no forward")
        _, inputs, _ = values.load(self.folder, "input")
        if self.reference == "ort" and own:
            with outside("onnxruntime"):
                result = testclass.OnnxTest.forward(self.test, inputs)
            own = False
        else:
            result = self._call("forward", inputs)
        arrays = values.as_arrays(result, "forward")
        _, outputs = values.ports(importer.load_skeleton(self.test.model_path))
        values.check_against(arrays, outputs, "forward", "output")
        written = values.save(self.folder, "golden_output", [p.name for p in outputs], arrays)
        return written, {"source": "the test class" if own else "onnxruntime"}

    @_noted
    def stage_postprocessing(self):
        self._need("native_inference")
        names, golden, _ = values.load(self.folder, "golden_output")
        out_names, outputs, signless = values.load(self.folder, "output")
        outputs = values.fit_signs(outputs, signless, golden)
        processed = os.path.join(self.folder, "processed")
        if os.path.islink(processed):
            raise Failure("bad_data", f"'{processed}' is a link, which might lead out of the test's "
                          "folder: remove it")
        os.makedirs(processed, exist_ok=True)
        written = []
        sets = (("golden_output", names, golden), ("output", out_names, outputs))
        for stem, stem_names, arrays in sets:
            result = self._call("apply_postprocessing", arrays)
            result = values.as_arrays(result, "apply_postprocessing")
            if len(result) != len(stem_names):
                stem_names = [str(i) for i in range(len(result))]
            written += ["processed/" + f for f in values.save(processed, stem, stem_names, result)]
        return written, {"identity": not self._overrides("apply_postprocessing")}

    # ---- replay ----

    def _need(self, stage):
        """See that the hooks up to `stage` have run on this object.

        They have, unless the run is a resumed one: then they are called again for what they keep
        in `self`. Files of the earlier run stay; a hook that now gives something else is refused,
        for the object would no longer belong to them.
        """
        for earlier in STAGES[: STAGES.index(stage) + 1]:
            if "stage_" + earlier not in self.done:
                getattr(self, "_replay_" + earlier)()
                self.done.add("stage_" + earlier)

    def _replay_setup(self):
        path = self.test.model_path
        if not os.path.exists(path):
            raise Failure("not_found", f"there is no model '{path}'")
        with tempfile.TemporaryDirectory(prefix=".replay-", dir=self.folder) as scratch:
            self.test.model_path = os.path.join(scratch, "model.onnx")
            try:
                self._construct_model()
                if not _same_file(path, self.test.model_path):
                    raise Failure("mismatch", _REPLAY.format("construct_model", "model", "setup"))
            finally:
                self.test.model_path = path

    def _replay_construct_inputs(self):
        if self.load_inputs or not self._overrides("construct_inputs"):
            return
        arrays = self._construct_inputs()
        if arrays is None:
            return
        _, stored, _ = values.load(self.folder, "input")
        same = len(arrays) == len(stored) and all(
            a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
            for a, b in zip(arrays, stored))
        if not same:
            raise Failure(
                "mismatch", _REPLAY.format("construct_inputs", "inputs", "construct_inputs"))

    def _replay_native_inference(self):
        if self._overrides("forward") and self.reference != "ort":
            _, inputs, _ = values.load(self.folder, "input")
            self._call("forward", inputs)


def _save_model(model, path):
    """One file; weights beside it only when protobuf leaves no choice."""
    with outside("saving the model"), files.appearing(path) as temporary:
        if model.ByteSize() < importer.IN_MEMORY_MAX:
            onnx.save(model, temporary)
        else:
            data = os.path.basename(path) + ".data"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(os.path.dirname(path), data))  # it would be appended to
            onnx.save(model, temporary, save_as_external_data=True, location=data)


def _same_file(a, b):
    if os.path.getsize(a) != os.path.getsize(b):
        return False
    with open(a, "rb") as f, open(b, "rb") as g:
        while True:
            left, right = f.read(1 << 20), g.read(1 << 20)
            if left != right:
                return False
            if not left:
                return True
