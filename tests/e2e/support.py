"""What the end-to-end tests share: run the program, read what it wrote, make ONNX tests."""

import contextlib
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BINARY = os.environ.get("GAUNTLET_BINARY", os.path.join(ROOT, "build", "gauntlet"))
STAGES = ["setup", "import_model", "preprocessing", "compilation", "construct_inputs",
          "native_inference", "compiled_inference", "postprocessing", "comparison"]
FLOAT = TensorProto.FLOAT
NODE_TESTS = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "node")
PATIENCE = 60  # seconds for what will happen, however often this machine stands still meanwhile
GRACE = 10  # seconds that the program leaves to what runs when it is interrupted

# What the surroundings of a test say must not change what it sees.
_DROPPED = ("CI", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "GAUNTLET_SHARE")


class Ran:
    """How a command ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Run:
    """A run directory, as its files tell."""

    def __init__(self, path):
        self.path = path
        self.results = read_json(os.path.join(path, "results.json"))
        self.tests = {test["test"]: test for test in self.results["tests"]}

    def __getitem__(self, name):
        return self.tests[name]

    def folder(self, name):
        return os.path.join(self.path, self.tests[name]["folder"])

    def file(self, name, *rest):
        return os.path.join(self.folder(name), *rest)

    def json(self, name, *rest):
        return read_json(self.file(name, *rest))

    def text(self, name, *rest):
        return read_text(self.file(name, *rest))

    def end(self, name):
        """(status, why) of a test."""
        test = self.tests[name]
        return test["status"], test["why"]

    def events(self):
        with open(os.path.join(self.path, "events.jsonl"), encoding="utf-8") as f:
            return [json.loads(line) for line in f]


def read_json(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def read_text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def hash_bytes(data):
    """What records call "hash"."""
    library = ctypes.CDLL(os.path.join(os.path.dirname(BINARY), "libgauntlet_worker.so"))
    out = ctypes.create_string_buffer(33)
    library.gt_worker_hash(data, ctypes.c_size_t(len(data)), out)
    return out.value.decode("ascii")


def seal(path, value):
    """Write stages.json or test.json as if the program had."""
    value = {key: value[key] for key in value if key != "sum"}
    text = json.dumps(value, indent=2, ensure_ascii=False)[:-2]
    return write_text(path, f'{text},\n  "sum": "{hash_bytes(text.encode("utf-8"))}"\n}}\n')


def write_text(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def wait_for(what, process=None):
    """Call `what` until it says something true, which is returned; `process` may not end before."""
    until = time.monotonic() + PATIENCE
    while True:
        ended = process is not None and process.poll() is not None
        value = what()
        if value:
            return value
        if ended:
            raise AssertionError(f"the program ended too early: {process.returncode}")
        if time.monotonic() > until:
            raise AssertionError("waited in vain")
        time.sleep(0.01)


def journal(folder):
    """The whole lines of a run's journal, also while it is written; none before there is one."""
    try:
        with open(os.path.join(folder, "events.jsonl"), "rb") as f:
            return [line for line in f.read().splitlines(keepends=True) if line.endswith(b"\n")]
    except FileNotFoundError:
        return []


def send(process, number):
    """Send a signal, and wait until it has arrived: one that comes before would be the same one."""
    process.send_signal(number)
    wait_for(lambda: process.poll() is not None or not is_pending(process.pid, number))


def is_pending(pid, number):
    try:
        status = read_text(f"/proc/{pid}/status")
    except OSError:
        return False
    return any(int(mask, 16) >> (number - 1) & 1
               for mask in re.findall(r"(?m)^(?:Sig|Shd)Pnd:\s*(\w+)$", status))


def is_idle(pid):
    """It waits for events: all that those before them brought about is done."""
    try:
        return read_text(f"/proc/{pid}/stat").rpartition(") ")[2].startswith("S")
    except OSError:
        return False


def environment(**more):
    env = {k: v for k, v in os.environ.items() if k not in _DROPPED}
    env.update({"TERM": "xterm", "GAUNTLET_SHARE": "/nonexistent"}, **more)
    return env


class TestCase(unittest.TestCase):
    """Every class of tests has a folder of its own, which is the current one for its commands."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.here = tempfile.mkdtemp(prefix="gauntlet-e2e-")
        cls.addClassCleanup(shutil.rmtree, cls.here, ignore_errors=True)

    @classmethod
    def path(cls, *parts):
        return os.path.join(cls.here, *parts)

    @classmethod
    def gauntlet(cls, *arguments, env=None, timeout=300, cwd=None):
        done = subprocess.run(
            [BINARY, *arguments], cwd=cwd or cls.here, env=environment(**(env or {})),
            stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
        return Ran(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))

    @classmethod
    def run_tests(cls, folder, *arguments, code=None, **options):
        """`gauntlet run -r folder ...`: (how it ended, what its files say)."""
        ran = cls.gauntlet("run", "-r", folder, *arguments, **options)
        if code is not None and ran.code != code:
            raise AssertionError(f"{' '.join(arguments)}: expected exit code {code}\n{ran!r}")
        return ran, Run(cls.path(folder))

    def refused(self, *arguments, says, code=2, env=None, lines=1):
        """The command fails before it does anything, with one clear line."""
        ran = self.gauntlet(*arguments, env=env)
        self.assertEqual(ran.code, code, ran)
        self.assertEqual(ran.out, "", ran)
        self.assertRegex(ran.err, r"\A(gauntlet: [^\n]+\n){%d}\Z" % lines, ran)
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, ran.err)
        return ran.err

    def open(self, gate):
        """Let go what waits for it by the order until:<path of gate>."""
        return write_text(self.path(gate), "")

    @contextlib.contextmanager
    def ends_at_once(self, folder):
        """The run in that folder ends in here, and not because its grace is over."""
        began = time.time()
        yield
        last = os.stat(self.path(folder, "events.jsonl")).st_mtime  # its last line is run-end
        self.assertLess(last - began, GRACE)

    def ends(self, run, name, status, why=None, says=()):
        """A test of a run ended so, and its message says why."""
        test = run[name]
        if why is None:
            why = "" if status == "PASS" else "error"
        self.assertEqual((test["status"], test["why"]), (status, why), test["message"])
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, test["message"])


# ---- models ----


def tensor(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, initializers=(), opset=21, name="graph"):
    graph = helper.make_graph(list(nodes), name, list(inputs), list(outputs), list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def unary(op, kind=FLOAT, shape=(2, 3), out_kind=None, opset=21, **attributes):
    """y = op(x)"""
    node = helper.make_node(op, ["x"], ["y"], **attributes)
    return model([node], [tensor("x", kind, shape)],
                 [tensor("y", kind if out_kind is None else out_kind, shape)], opset=opset)


def binary(op, kind=FLOAT, shape=(2, 3), out_kind=None):
    """y = op(a, b)"""
    node = helper.make_node(op, ["a", "b"], ["y"])
    return model([node], [tensor("a", kind, shape), tensor("b", kind, shape)],
                 [tensor("y", kind if out_kind is None else out_kind, shape)])


def write_test(folder, proto, *data_sets):
    """<folder>/model.onnx, and one test_data_set_N per (inputs, outputs); either may be None."""
    os.makedirs(folder, exist_ok=True)
    data = proto if isinstance(proto, bytes) else proto.SerializeToString()
    with open(os.path.join(folder, "model.onnx"), "wb") as f:
        f.write(data)
    for number, (inputs, outputs) in enumerate(data_sets):
        place = os.path.join(folder, f"test_data_set_{number}")
        os.makedirs(place)
        for stem, values in (("input", inputs), ("output", outputs)):
            for k, value in enumerate(values or []):
                if isinstance(value, np.ndarray):
                    value = numpy_helper.from_array(value)
                with open(os.path.join(place, f"{stem}_{k}.pb"), "wb") as f:
                    f.write(value.SerializeToString())
    return folder


def working_in(folder):
    """Ids of the processes that work below a folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(folder + "/"):
                found.append(int(pid))
        except OSError:
            continue
    return found


def alive(marker):
    """Ids of the processes whose environment or command line holds `marker`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    data = f.read()
            except OSError:
                continue
            if marker.encode() in data:
                found.append(int(pid))
                break
    return found


def is_gone(pid):
    """It has ended, though whoever ought to wait for it may not have done so yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def stale_groups():
    """Memory cgroups beside our own jobs' whose supervisor is gone; further up they are of others."""
    with open("/proc/self/cgroup", encoding="utf-8") as f:
        own = dict(line.rstrip().split(":", 2)[1:] for line in f)
    folders = [f"/sys/fs/cgroup{own.get('', '')}", f"/sys/fs/cgroup/unified{own.get('', '')}",
               f"/sys/fs/cgroup/memory{own.get('memory', '')}"]
    return [os.path.join(folder, name) for folder in folders if os.path.isdir(folder)
            for name in os.listdir(folder)
            if name.startswith("gauntlet-") and is_gone(name.rpartition("-")[2])]
