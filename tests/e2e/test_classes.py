"""What the hooks of a test class can do to the process that runs them."""

import os
import unittest

import support
from matrix import FILES, Case, Ending, soon
from support import STAGES, write_text
from test_python import HEAD

HOOKS = '''
import builtins
import json
import os
import signal
import sys
import time
import traceback

import numpy as np
from gauntlet import OnnxTest, register
from onnx import TensorProto, helper


class Base(OnnxTest):
    """Misbehaves in one hook: do() is called there."""
    hook = None

    def at(self, hook):
        if hook == self.hook:
            self.do()

    def construct_model(self):
        self.at("construct_model")
        node = helper.make_node("Abs", ["x"], ["y"])
        ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xy"]
        return helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]),
                                 opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def construct_inputs(self):
        self.at("construct_inputs")
        return [np.array([1, -2], np.float32)]

    def forward(self, inputs):
        self.at("forward")
        return [np.abs(inputs[0])]

    def apply_postprocessing(self, outputs):
        self.at("apply_postprocessing")
        return outputs


@register("talks")
class Talks(Base):
    def construct_model(self):
        print_much(self)
        print("model done")
        return super().construct_model()

    def construct_inputs(self):
        print("inputs")
        return super().construct_inputs()

    def forward(self, inputs):
        print(1 / 0)


def loop(self):
    while True:
        pass


def leak(self):
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
        os._exit(0)


def leave(self):
    raise SystemExit(0)


def print_much(self):
    for _ in range(10):
        print("x" * (1 << 20))


def not_today(*args, **more):
    raise ValueError("not today")


def mute(self):
    sys.stderr.close()
    not_today()


def torn(self):
    sys.stdout = sys.stderr = type("Torn", (), {"write": not_today, "flush": not_today})()
    not_today()


def deaf(self):
    os.close(2)
    os.close(1)
    not_today()


def wreck(self):
    builtins.print = json.dumps = traceback.print_exception = not_today
    not_today()


for deed in (lambda self: os.abort(), lambda self: os._exit(0), loop, leak, leave, print_much,
             lambda self: os.close(3), lambda self: os.kill(os.getpid(), signal.SIGKILL), mute, torn,
             deaf, wreck):
    deed.number = globals().get("number", -1) + 1
    number = deed.number
    name = ("abort", "exit", "loop", "leak", "leave", "print", "close", "kill", "mute",
            "torn", "deaf", "wreck")[number]
    for hook in ("construct_model", "construct_inputs", "forward", "apply_postprocessing"):
        register(f"{name}.{hook}")(type(f"{name}_{hook}", (Base,), {"do": deed, "hook": hook}))
'''


class TestClasses(Case):
    """What a hook can do to the instance that runs it."""
    HOOKS = {"construct_model": "setup", "construct_inputs": "construct_inputs",
             "forward": "native_inference", "apply_postprocessing": "postprocessing"}
    ENDINGS = {"abort": Ending("crash:SIGABRT", r"the test class crashed.*"),
               "exit": Ending("protocol", r"the test class ended with exit code 0 and .*"),
               "loop": Ending("timeout", r"the test class did not end within 1 s"),
               "leave": Ending("error", r"\S+: SystemExit: 0"),
               "close": Ending("protocol", r"the test class ended with exit code \d+ and .*"),
               "mute": Ending("error", r"\S+: ValueError: not today"),
               "deaf": Ending("error", r"\S+: ValueError: not today"),
               "torn": Ending("error", r"\S+: ValueError: not today"),
               "wreck": Ending("error", r"\S+: ValueError: not today"),
               "kill": Ending("killed", r"the test class was killed from outside \(SIGKILL\)",
                              attempts=2)}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        flags = ["--suite", write_text(cls.path("hooks.py"), HOOKS), "-d", "local-sync", "-b", "vmvx"]
        cls.run_ = cls.run_tests("hooks", *flags, "-j", "8", "-t", "(?!loop)", code=1,
                                 env=cls.fake_env)[1]
        # A limit that is soon met is for that stage alone which hangs.
        cls.loops = {hook: cls.run_tests(
            f"loop-{hook}", *flags, f"loop.{hook}", "--retries", "timeout=0", "--timeout",
            f"{stage}=1", code=1, env=cls.fake_env)[1] for hook, stage in cls.HOOKS.items()}

    def test_endings(self):
        self.assertEqual(len(self.run_.tests), 11 * 4 + 1)
        for hook, stage in self.HOOKS.items():
            for deed, ending in self.ENDINGS.items():
                with self.subTest(f"{deed} in {hook}"):
                    name = f"{deed}.{hook}"
                    run = self.loops[hook] if deed == "loop" else self.run_
                    ends = self.ends_of(run)
                    self.ends(run, name, stage, ending.why)
                    self.assertRegex(run[name]["message"], rf"\A{ending.says}\Z")
                    self.assertEqual([e["attempt"] for e in ends[name] if e["stage"] == stage],
                                     list(range(1, ending.attempts + 1)))
                    log = run.text(name, f"{stage}.log")
                    self.assertIn(f"why     {ending.why}\n", log)
                    if deed in ("abort", "leave", "mute", "torn", "wreck"):
                        self.assertIn("hooks.py", log)  # where Python stood
                    # Without its socket it does its work and cannot tell.
                    later = STAGES[STAGES.index(stage) + (deed == "close"):]
                    self.assertFalse({f for s in later for f in FILES[s]} &
                                     set(os.listdir(run.folder(name))))

    def test_what_passes(self):
        ends = self.ends_of(self.run_)
        for hook, stage in self.HOOKS.items():
            with self.subTest(hook):
                for deed in ("leak", "print"):
                    self.ends(self.run_, f"{deed}.{hook}", "PASS")
                name = f"print.{hook}"
                size = os.path.getsize(self.run_.file(name, f"{stage}.output"))
                self.assertTrue(8 << 20 < size < 10 << 20, size)
                self.assertEqual(self.run_.text(name, f"{stage}.output")[-2:], "x\n")
                self.assertEqual(len(ends[name]), len(STAGES))

    def test_what_is_printed_last(self):
        """However much an instance has printed before, a log holds the end of its own stage."""
        self.ends(self.run_, "talks", "native_inference", says="ZeroDivisionError")
        self.assertEqual(self.run_.text("talks", "setup.output")[-11:], "model done\n")
        self.assertEqual(self.run_.text("talks", "construct_inputs.output"), "inputs\n")
        self.assertIn("print(1 / 0)", self.run_.text("talks", "native_inference.log"))

    def test_nothing_is_left(self):
        for run in (self.run_, *self.loops.values()):
            self.nothing_left(run.path)
            self.valid(run)
        self.assertEqual(soon(lambda: support.alive("hooks.py")), [])


LEAVES = """
import subprocess
from gauntlet import OnnxTest, register
from onnx import TensorProto, helper

@register("leaves")
class Leaves(OnnxTest):
    def construct_model(self):
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        node = helper.make_node("Abs", ["x"], ["y"])
        ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xy"]
        return helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]),
                                 opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
"""


class Left(Case):
    """What a class leaves running is told with the last stage that it was there for."""

    def leaves(self, folder, *arguments, code):
        file = write_text(self.path("leaves.py"), LEAVES)
        ran, run = self.run_tests(folder, "--suite", file, *arguments, code=code, env=self.fake_env)
        self.nothing_left(folder)
        self.valid(run)
        self.assertIn("leaves: sleep", ran.out)
        return run, self.ends_of(run)["leaves"]

    def test_another_job_fails(self):
        """The class waits for its next hook, which never comes."""
        run, ends = self.leaves("elsewhere", "--timeout", "compilation=1ms", "--retries",
                                "timeout=0", code=1)
        self.ends(run, "leaves", "compilation", "timeout", "the compiler did not end within 0.001 s")
        self.assertEqual([(e["stage"], e["leftovers"]) for e in ends],
                         [("setup", 0), ("import_model", 0), ("preprocessing", 0), ("compilation", 1)])
        self.assertEqual(ends[-1]["leaked"], "sleep")
        self.assertEqual(run["leaves"]["leaked"], "sleep")

    def test_half_a_stage(self):
        """Inputs are left to the built-in code: the attempt is the class's all the same."""
        run, ends = self.leaves("half", "--stages", "setup", "construct_inputs", "--leak", "fail",
                                "--retries", "leaked=1", code=1)
        self.ends(run, "leaves", "construct_inputs", "leaked",
                  "the test class left 1 process running: sleep")
        self.assertEqual([(e["stage"], e["attempt"], e["why"], e["leftovers"]) for e in ends],
                         [("setup", 1, "", 0), ("construct_inputs", 1, "leaked", 1),
                          ("construct_inputs", 2, "leaked", 1)])


ELSEWHERE = HEAD + """
@register("full")
class Full(Base):
    def construct_model(self):
        with open("/dev/full", "w") as f:
            f.write("x" * 100000)

@register("broken")
class Broken(Base):
    def forward(self, inputs):
        with open("/proc/self/mem", "rb") as f:
            f.read(10)

@register("gone")
class Gone(Base):
    "It has also left its place, and allows itself no files."
    def construct_model(self):
        import resource
        os.chdir("/proc")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with open(self.model_path, "wb") as f:
            f.write(bytes(10000))

@register("innocent")
class Innocent(Base):
    pass
"""


class Elsewhere(Case):
    def test_another_disk(self):
        """What a hook meets on a disk that is not the run's is the fault of that test alone."""
        file = write_text(self.path("elsewhere.py"), ELSEWHERE)
        _, run = self.run_tests("run", "--suite", file, "-d", "local-sync", code=1)
        self.ends(run, "full", "setup", "error", "construct_model: OSError: [Errno 28] No space left")
        self.ends(run, "broken", "native_inference", "error", "forward: OSError: [Errno 5] Input/")
        self.ends(run, "gone", "setup", "error", "construct_model: OSError: [Errno 27] File too large")
        self.ends(run, "innocent", "PASS")


if __name__ == "__main__":
    unittest.main()
