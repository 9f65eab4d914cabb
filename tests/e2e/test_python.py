"""Tests written as Python classes: the example, and hooks that do what hooks can do wrong."""

import os
import unittest

import support
from support import STAGES, write_text

EXAMPLE = os.path.join(support.ROOT, "examples", "scaled_gelu.py")
HEAD = '''
import os
import numpy as np
from onnx import TensorProto, helper
from gauntlet import OnnxTest, register

KIND = TensorProto.FLOAT


class Base(OnnxTest):
    def construct_model(self):
        node = helper.make_node("Abs", ["x"], ["y"])
        ports = [helper.make_tensor_value_info(n, KIND, [2]) for n in "xy"]
        return helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]),
                                 opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def construct_inputs(self):
        return [np.array([1, -2], np.float32)]

'''
HOOKS = HEAD + '''
@register("no_model")
class NoModel(Base):
    def construct_model(self):
        return "a model"

@register("wrong_shape")
class WrongShape(Base):
    def construct_inputs(self):
        return [np.zeros((3,), np.float32)]

@register("wrong_count")
class WrongCount(Base):
    def construct_inputs(self):
        return []

@register("forward_raises")
class ForwardRaises(Base):
    def forward(self, inputs):
        return [1 / 0]

@register("wrong_golden")
class WrongGolden(Base):
    def forward(self, inputs):
        return [np.array([1, 3], np.float32)]

@register("postprocessing_raises")
class PostprocessingRaises(Base):
    def apply_postprocessing(self, outputs):
        raise KeyError("top")

@register("postprocessing_repairs")
class PostprocessingRepairs(Base):
    """What is compared is what the hook makes of both sides."""
    def forward(self, inputs):
        return [np.array([1.4, 2.4], np.float32)]

    def apply_postprocessing(self, outputs):
        return [np.round(outputs[0])]

@register("keeps_state")
class KeepsState(Base):
    """All hooks are called on one object in one process."""
    def construct_model(self):
        self.pid = os.getpid()
        return super().construct_model()

    def forward(self, inputs):
        assert self.pid == os.getpid()
        return [np.abs(inputs[0])]

    def apply_postprocessing(self, outputs):
        assert self.pid == os.getpid()
        return outputs
'''


class Example(support.TestCase):
    def test_example(self):
        ran, run = self.run_tests("run", "--suite", EXAMPLE, "-d", "local-sync", code=0)
        self.assertEqual({name: test["status"] for name, test in run.tests.items()},
                         dict.fromkeys(["scaled_gelu", "scaled_gelu_tanh", "scaled_gelu_top3"],
                                       "PASS"))
        top3 = run.json("scaled_gelu_top3", "processed", "output.json")["values"]
        self.assertEqual([(v["type"], v["dims"]) for v in top3],
                         [("int64", [4, 3]), ("float", [4, 3])])
        # The raw outputs stay as they are.
        raw = run.json("scaled_gelu_top3", "output.json")["values"]
        self.assertEqual(raw[0]["dims"], [4, 10])

        # A later run goes on with what is there; so does a hand.
        ran, run = self.run_tests("run", "--suite", EXAMPLE, "-d", "local-sync", "--stages",
                                  "native_inference", "comparison", code=0)
        for stage in STAGES:
            for test in ("scaled_gelu_top3", "scaled_gelu_tanh"):
                ran = self.gauntlet("stage", stage, f"run/{test}")
                self.assertEqual(ran.code, 0, ran)
                self.assertTrue(ran.out.startswith(f"{stage}: ok"), ran)
        ran, run = self.run_tests("run", "--suite", EXAMPLE, "-d", "local-sync", "--stages",
                                  "comparison", code=0)

    def test_record_of_a_stage_by_hand(self):
        self.run_tests("hand", "--suite", EXAMPLE, "scaled_gelu_tanh", "-d", "local-sync", code=0)
        path = self.path("hand", "scaled_gelu_tanh", "stages.json")
        records = support.read_json(path)["stages"]
        for stage in ("setup", "construct_inputs", "native_inference", "postprocessing"):
            was = support.read_json(path)["stages"][stage]
            ran = self.gauntlet("stage", stage, "hand/scaled_gelu_tanh")
            self.assertEqual(ran.code, 0, ran)
            now = support.read_json(path)["stages"][stage]
            # Of a class that serves on nobody counts what one stage used: the last one, postprocessing,
            # tells it of all. Inputs are made for it.
            counted = {"user_seconds", "system_seconds", "max_rss_kb", "output_bytes",
                       "dropped_bytes"}
            by_itself = stage in ("construct_inputs", "postprocessing")
            self.assertEqual(set(now) - set(was), set() if by_itself else counted)
            self.assertLessEqual(counted, set(now))
            for member in ("ok", "why", "message", "attempt", "inputs", "files", "detail", "basis",
                           "tool"):
                self.assertEqual(now[member], was[member], (stage, member))
        last = records["postprocessing"]
        self.assertGreater(last["user_seconds"] + last["system_seconds"], 0)
        self.assertGreater(last["max_rss_kb"], 10000)

    def test_what_a_class_used(self):
        """Counted where it ends, of its whole life, and without a word about the verdict."""
        file = write_text(self.path("busy.py"), HEAD + """
import sys, time

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    print("x" * 999, flush=True)

@register("busy")
class Busy(Base):
    def forward(self, inputs):
        burn(0.4)
        return super().forward(inputs)

    def apply_postprocessing(self, outputs):
        burn(0.3)
        return super().apply_postprocessing(outputs)

@register("stops")
class Stops(Busy):
    def forward(self, inputs):
        super().forward(inputs)
        raise ValueError("not today")
""")
        _, run = self.run_tests("busy", "--suite", file, "-d", "local-sync", code=1)
        self.assertEqual(run.end("busy"), ("PASS", ""))
        self.assertEqual(run.end("stops"), ("native_inference", "error"))
        ends = {(e["test"], e["stage"]): e for e in run.events() if e["event"] == "stage-end"}
        for test, stage, cpu, printed in (("busy", "postprocessing", 0.7, 3000),
                                          ("stops", "native_inference", 0.4, 1000)):
            with self.subTest(test):
                end = ends[test, stage]
                self.assertGreaterEqual(end["user_seconds"] + end["system_seconds"], cpu)
                self.assertGreaterEqual(end["output_bytes"], printed)
                self.assertEqual(end["dropped_bytes"], 0)
                self.assertGreater(end["max_rss_kb"], 10000)
        self.assertNotIn("user_seconds", ends["busy", "native_inference"])

    def test_a_hook_that_kills_its_process(self):
        file = write_text(self.path("deadly.py"), HEAD + """
@register("deadly")
class Deadly(Base):
    def forward(self, inputs):
        if os.path.exists(os.path.join(self.folder, "die")):
            os.kill(os.getpid(), 11)
        raise ValueError("not today")
""")
        _, run = self.run_tests("deadly", "--suite", file, "-d", "local-sync", code=1)
        ran = self.gauntlet("stage", "native_inference", "deadly/deadly")
        self.assertEqual((ran.code, (ran.out + ran.err).count("forward: ValueError")), (1, 1), ran)
        write_text(run.file("deadly", "die"), "")
        ran = self.gauntlet("stage", "native_inference", "deadly/deadly")
        self.assertEqual((ran.code, ran.out),
                         (1, "native_inference: the frontend crashed\n"), ran)
        self.assertEqual(run.json("deadly", "stages.json")["stages"]["native_inference"]["why"],
                         "crash:SIGSEGV")
        self.assertIn("why     crash:SIGSEGV", run.text("deadly", "native_inference.log"))


class Hooks(support.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.file = write_text(cls.path("hooks.py"), HOOKS)
        cls.ran, cls.run_ = cls.run_tests("run", "--suite", cls.file, "-d", "local-sync", code=1)

    def test_state(self):
        self.ends(self.run_, "keeps_state", "PASS")

    def test_mistakes(self):
        for name, status, says in (
                ("no_model", "setup", "construct_model"),
                ("wrong_shape", "construct_inputs", ["construct_inputs", "input 0 (x)", "3", "2"]),
                ("wrong_count", "construct_inputs", "construct_inputs returned 0 arrays"),
                ("forward_raises", "native_inference", ["forward", "ZeroDivisionError"]),
                ("postprocessing_raises", "postprocessing", ["apply_postprocessing", "KeyError"])):
            with self.subTest(name):
                self.ends(self.run_, name, status, says=says)
        log = self.run_.text("forward_raises", "native_inference.log")
        self.assertIn("return [1 / 0]", log)

    def test_comparison_is_of_what_is_processed(self):
        self.ends(self.run_, "wrong_golden", "Numerics", "value", "2 where 3 is right")
        self.ends(self.run_, "postprocessing_repairs", "PASS")

    def test_file_that_changes_or_goes(self):
        path = write_text(self.path("going.py"), HEAD + "@register('a')\nclass A(Base): pass\n"
                          "os.unlink(__file__)\n")
        ran = self.gauntlet("run", "--suite", path, "-r", "gone")
        self.assertEqual(ran.code, 1, ran)
        run = support.Run(self.path("gone"))
        self.ends(run, "a", "setup", says="going.py")


ALONE = HEAD + '''
import time

def stamps():
    return os.path.join(os.path.dirname(__file__), "busy.txt")

def wait_for(what):
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)

def met(test):
    with open(os.path.join(test.folder, "..", "events.jsonl")) as f:
        return '"why":"timeout"' in f.read()

@register("busy")
class Busy(Base):
    """Leaves a child that is never idle, and works until the other test has met its limit."""
    def construct_model(self):
        if os.fork() == 0:
            with open(stamps(), "a") as f:
                while True:
                    print("at work", file=f, flush=True)
                    time.sleep(0.002)
        return super().construct_model()

    def forward(self, inputs):
        wait_for(lambda: met(self))
        return [np.abs(inputs[0])]

    def apply_postprocessing(self, outputs):
        # Its child goes on when nothing is tried alone any more.
        before = os.path.getsize(stamps())
        wait_for(lambda: os.path.getsize(stamps()) > before)
        return outputs

def grows():
    before = os.path.getsize(stamps())
    time.sleep(0.5)
    return os.path.getsize(stamps()) > before

@register("slow")
class Slow(Base):
    """Sees the other one's child at work, meets its limit, and sees it stand still."""
    def construct_model(self):
        if not met(self):
            wait_for(lambda: os.path.exists(stamps()) and grows())
        return super().construct_model()

    def construct_inputs(self):
        if not met(self):
            time.sleep(1000)
        wait_for(lambda: not grows())
        return super().construct_inputs()
'''


class Alone(support.TestCase):
    def test_nothing_of_other_tests_runs_beside(self):
        """A timeout is tried again alone: what another test's class has left stands still."""
        write_text(self.path("alone.py"), ALONE)
        ran, run = self.run_tests("run", "--suite", "alone.py", "-j", "2", "--timeout",
                                  "construct_inputs=4", code=0)
        self.assertEqual(run.end("busy"), ("PASS", ""), ran)
        self.assertEqual(run.end("slow"), ("PASS", ""), ran)
        self.assertTrue(run["slow"]["flaky"])


if __name__ == "__main__":
    unittest.main()
