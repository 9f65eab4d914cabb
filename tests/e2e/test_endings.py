"""Crash, timeout, tool error, interruption: told apart, and nothing is left running."""

import json
import os
import signal
import subprocess
import time
import unittest

import support
from support import FLOAT, helper, model, tensor, unary, write_test, write_text

def read_tail(path):
    with open(path, "rb") as f:
        f.seek(max(0, os.path.getsize(path) - 200))
        return f.read()


ENDLESS_PYTHON = '''
import os
import signal
import subprocess
import sys
import time

import numpy as np
from onnx import TensorProto, helper

from gauntlet import OnnxTest, register


class Base(OnnxTest):
    def construct_model(self):
        node = helper.make_node("Abs", ["x"], ["y"])
        ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xy"]
        return helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]),
                                 opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def construct_inputs(self):
        return [np.array([1, -2], np.float32)]


@register("sleeps")
class Sleeps(Base):
    def construct_inputs(self):
        time.sleep(1000)


@register("has_children")
class HasChildren(Base):
    """Children that ignore SIGTERM, one of them a daemon in a session of its own."""

    def construct_inputs(self):
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(999)"
        for detached in (False, True):
            subprocess.Popen([sys.executable, "-c", code, "MARKER"], start_new_session=detached)
        time.sleep(1000)


@register("leaves_a_child")
class LeavesAChild(Base):
    def construct_inputs(self):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(999)", "MARKER"],
                         start_new_session=True)
        return super().construct_inputs()


@register("dies_before_its_child")
class DiesBeforeItsChild(LeavesAChild):
    def construct_inputs(self):
        super().construct_inputs()
        os._exit(3)


@register("exits")
class Exits(Base):
    def construct_inputs(self):
        os._exit(7)


@register("aborts")
class Aborts(Base):
    def construct_inputs(self):
        os.abort()


@register("is_killed")
class IsKilled(Base):
    def construct_inputs(self):
        os.kill(os.getpid(), signal.SIGKILL)


@register("raises")
class Raises(Base):
    def construct_inputs(self):
        raise ValueError("no inputs\\ntoday")


@register("prints_much")
class PrintsMuch(Base):
    def construct_inputs(self):
        for _ in range(40):
            print("x" * (1 << 20))
        raise ValueError("that was much")


@register("fine")
class Fine(Base):
    pass
'''


def slow_module():
    """Many products of large matrices: minutes of work for a module that is made in a second."""
    nodes = [helper.make_node("Expand", ["x", "shape"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(8)]
    nodes += [helper.make_node("ReduceSum", ["m8"], ["y"], keepdims=0)]
    shape = helper.make_tensor("shape", 7, [2], [3000, 3000])
    return model(nodes, [tensor("x", FLOAT, [1, 1])], [tensor("y", FLOAT, [])], [shape])


class Endings(support.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.marker = f"gauntlet-e2e-marker-{os.getpid()}-{time.time_ns()}"
        cls.file = write_text(cls.path("endless.py"), ENDLESS_PYTHON.replace("MARKER", cls.marker))
        # A limit that is soon met is for those alone that meet any.
        cls.flags = ["--suite", cls.file, "-d", "local-sync", "-b", "vmvx"]
        cls.run_ = cls.run_tests("run", *cls.flags, "-t", "(?!sleeps|has_children)", code=1)[1]
        cls.endless = cls.run_tests("endless", *cls.flags, "sleeps", "has_children", "--timeout",
                                    "construct_inputs=2", code=1)[1]

    def test_timeout(self):
        self.assertEqual(len(self.endless.tests), 2)
        for name in self.endless.tests:
            self.ends(self.endless, name, "construct_inputs", "timeout", "did not end within 2 s")
            self.assertGreater(self.endless[name]["seconds"], 2)

    def test_crash_and_error_are_told_apart(self):
        self.ends(self.run_, "aborts", "construct_inputs", "crash:SIGABRT", "crashed")
        self.ends(self.run_, "is_killed", "construct_inputs", "killed", "SIGKILL")
        self.ends(self.run_, "exits", "construct_inputs", "protocol", "exit code 7")
        self.ends(self.run_, "raises", "construct_inputs", says="ValueError: no inputs")
        log = self.run_.text("raises", "construct_inputs.log")
        self.assertIn("today", log)
        self.assertIn("endless.py", log)

    def test_what_a_job_prints_is_bounded(self):
        self.ends(self.run_, "prints_much", "construct_inputs", says="that was much")
        self.assertLess(os.path.getsize(self.run_.file("prints_much", "construct_inputs.log")),
                        20 << 20)

    def test_others_go_on(self):
        self.ends(self.run_, "fine", "PASS")

    def test_nothing_is_left(self):
        self.assertEqual(support.alive(self.marker), [])
        for folder in ("run", "endless"):
            self.assertNotIn("tmp", os.listdir(self.path(folder)))

    def test_children_that_stay(self):
        self.ends(self.run_, "leaves_a_child", "PASS")
        self.ends(self.run_, "dies_before_its_child", "construct_inputs", "protocol", "code 3")
        left = [e["leftovers"] for e in self.run_.events() if e["event"] == "stage-end"
                and e["test"] == "dies_before_its_child" and not e["ok"]]
        self.assertEqual(left, [1])


class Tools(support.TestCase):
    def test_compiler(self):
        """Crashes of three kinds, a refusal, a limit, each with its own reason."""
        _, run = self.run_tests(
            "run", "test_reshape_allowzero_reordered", "test_castlike_FLOAT_to_INT4",
            "test_rotary_embedding_expanded", "test_loop11", "--stages", *support.STAGES[:4],
            code=1)
        self.ends(run, "test_reshape_allowzero_reordered", "compilation", "crash:SIGFPE", "crashed")
        self.ends(run, "test_rotary_embedding_expanded", "compilation", "crash:SIGSEGV", "crashed")
        self.ends(run, "test_castlike_FLOAT_to_INT4", "compilation", "crash:SIGABRT",
                  ["LLVM ERROR", "si4"])
        self.assertIn("Bit width: 4", run.text("test_castlike_FLOAT_to_INT4", "compilation.log"))
        self.ends(run, "test_loop11", "compilation", says="onnx.Loop")

    def test_limits(self):
        write_test(self.path("slow", "slow"), slow_module())
        write_test(self.path("slow", "abs"), unary("Abs"))
        flags = ["--suite", "slow", "-d", "local-sync"]
        skip = ["--skip-stages", "native_inference"]
        _, run = self.run_tests("limits", *flags, "slow", "-b", "vmvx", *skip, "--timeout",
                                "compiled_inference=500ms", code=1)
        self.ends(run, "slow", "compiled_inference", "timeout",
                  "the compiled module did not end within 0.5 s")
        _, run = self.run_tests("limits", *flags, "abs", "-b", "vmvx", *skip, code=1)
        self.ends(run, "abs", "results-summary", says=["golden_output.json", "native_inference"])
        # A compiler that waits for its linker, which never ends.
        linker = write_text(self.path("linker"), "#!/bin/sh\nexec sleep 1000\n")
        os.chmod(linker, 0o755)
        _, run = self.run_tests("limits", *flags, "abs", "-a", "iree-llvmcpu-link-embedded=false",
                                f"iree-llvmcpu-system-linker-path={linker}", "--timeout", "100",
                                "--timeout", "compilation=10ms", code=1)
        self.ends(run, "abs", "compilation", "timeout", "the compiler did not end within 0.01 s")


class Interrupted(support.TestCase):
    """Ctrl-C, a polite kill, a hard kill, while jobs run."""

    def setUp(self):
        self.marker = f"gauntlet-e2e-marker-{os.getpid()}-{time.time_ns()}"
        self.file = write_text(self.path("endless.py"),
                               ENDLESS_PYTHON.replace("MARKER", self.marker))

    def start(self, folder, *tests):
        process = subprocess.Popen(
            [support.BINARY, "run", "--suite", self.file, "-j", "2", "-r", folder,
             "--skip-stages", "import_model", "preprocessing", "compilation", "--", *tests],
            cwd=self.here, env=support.environment(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        support.wait_for(lambda: len(support.alive(self.marker)) >= 2, process)  # of has_children
        return process

    def assert_nothing_runs(self):
        support.wait_for(lambda: not support.alive(self.marker) + support.alive(self.file))

    def test_twice(self):
        """The first signal waits for what runs, the second does not."""
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                process = self.start("twice", "has_children", "sleeps")
                with self.ends_at_once("twice"):
                    support.send(process, number)
                    time.sleep(0.5)
                    self.assertIsNone(process.poll())
                    process.send_signal(number)
                    out, err = process.communicate(timeout=support.PATIENCE)
                self.assertEqual(process.returncode, -number, err)
                self.assertIn("INCOMPLETE (interrupted): 2 of 2 tests have no result", out)
                self.assert_nothing_runs()
                run = support.Run(self.path("twice"))
                self.assertFalse(run.results["complete"])
                ran = self.gauntlet("report", "twice")
                self.assertEqual(ran.code, 6, ran)
                self.assertIn("INCOMPLETE", ran.out)

    def test_while_tests_are_listed(self):
        """Before there is a run: nothing is left, neither a folder nor a process."""
        suite = write_text(self.path("slow.py"), f"""
import os, time
with open({self.path("began")!r}, "w") as f:
    f.write(str(os.getcwd()))
while True:
    time.sleep(0.01)
""")
        os.makedirs(self.path("temporary"))
        for command in (["run", "-r", "never"], ["list"]):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                with self.subTest(command=command, number=number):
                    process = subprocess.Popen(
                        [support.BINARY, *command, "--suite", suite], cwd=self.here,
                        env=support.environment(TMPDIR=self.path("temporary")),
                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    self.addCleanup(process.wait)
                    self.addCleanup(process.kill)
                    support.wait_for(lambda: os.path.exists(self.path("began")), process)
                    self.assertEqual(len(os.listdir(self.path("temporary"))), 2)
                    process.send_signal(number)
                    out, err = process.communicate(timeout=support.PATIENCE)
                    self.assertEqual((process.returncode, out), (-number, b""), err)
                    self.assertEqual(os.listdir(self.path("temporary")), [])
                    self.assertEqual(support.working_in(self.path("temporary")), [])
                    os.remove(self.path("began"))
        self.assertFalse(os.path.exists(self.path("never")))

    def test_storm(self):
        """Signals that come while the run ends and reports are written wait until that is done."""
        tests = {f"t{i}": {} for i in range(300)}
        tests["endless"] = {"setup": "sleep"}  # so that the run does not end before
        fake = write_text(self.path("storm.fake"), json.dumps(tests))
        runner = subprocess.Popen(
            [support.BINARY, "run", "-r", "storm", "-j", "4", "--suite", fake, "--stages", "setup"],
            cwd=self.here, env=support.environment(GAUNTLET_FAKE="1"), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(runner.wait)
        self.addCleanup(runner.kill)
        support.wait_for(lambda: any(b'"test-end"' in line for line in
                                     support.journal(self.path("storm"))), runner)
        until = time.monotonic() + support.PATIENCE
        while runner.poll() is None and time.monotonic() < until:
            runner.send_signal(signal.SIGINT)
            time.sleep(0.003)
        text, _ = runner.communicate(timeout=60)
        self.assertEqual(runner.returncode, -signal.SIGINT, text)
        results = support.read_json(self.path("storm", "results.json"))
        ended = [t for t in results["tests"] if t["status"]]
        self.assertEqual((results["complete"], len(results["tests"])), (False, 301))
        self.assertTrue(ended)
        self.assertIn("INCOMPLETE (interrupted)", text)
        self.assertFalse(os.path.lexists(self.path("storm", "tmp")))

    def test_late(self):
        """One signal at any moment of a run's end: it counts, or the run is complete."""
        fake = write_text(self.path("late.fake"), json.dumps({f"t{i}": {} for i in range(200)}))
        for delay in range(8):
            runner = subprocess.Popen(
                [support.BINARY, "run", "-r", f"late{delay}", "-j", "4", "--suite", fake,
                 "--stages", "setup", "--report", "--report-file", f"late{delay}.md"],
                cwd=self.here, env=support.environment(GAUNTLET_FAKE="1"),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
            journal = self.path(f"late{delay}", "events.jsonl")
            until = time.monotonic() + 60
            while time.monotonic() < until and runner.poll() is None and not (
                    os.path.exists(journal) and b'"run-end"' in read_tail(journal)):
                time.sleep(0.0005)
            time.sleep(delay / 2000)
            runner.send_signal(signal.SIGTERM)
            self.assertIn(runner.wait(support.PATIENCE), (0, -signal.SIGTERM))
            self.assertTrue(support.read_json(self.path(f"late{delay}", "results.json"))["complete"])
            self.assertTrue(os.path.exists(self.path(f"late{delay}.md")))
            self.assertFalse(os.path.lexists(self.path(f"late{delay}", "tmp")))

    def test_killed(self):
        """Nothing survives a runner that had no chance to say anything; its journal does."""
        process = self.start("killed", "has_children")
        process.kill()
        process.communicate(timeout=support.PATIENCE)
        self.assert_nothing_runs()
        ran = self.gauntlet("report", "killed")
        self.assertEqual(ran.code, 6, ran)
        # The folder can be used again.
        ran, run = self.run_tests("killed", "--suite", self.file, "fine", "-d", "local-sync",
                                  code=0)
        self.assertTrue(run.results["complete"])

    def test_two_at_once(self):
        process = self.start("shared", "has_children")
        self.refused("run", "--suite", self.file, "fine", "-r", "shared",
                     says=["another gauntlet", "shared", "-r"])
        process.kill()

    def test_torn_journal(self):
        self.run_tests("torn", "--suite", self.file, "fine", "--stages", "setup", code=0)
        path = self.path("torn", "events.jsonl")
        before = support.read_json(self.path("torn", "results.json"))
        with open(path, "ab") as f:
            f.write(b'{"seq":99,"event":"test-e')
        ran = self.gauntlet("report", "torn")
        self.assertEqual(ran.code, 0, ran)
        self.assertEqual(support.read_json(self.path("torn", "results.json")), before)
        data = support.read_text(path)
        support.write_text(path, data.replace('"test-end"', '"test-eND"', 1))
        ran = self.gauntlet("report", "torn")
        self.assertNotEqual(ran.code, 0, ran)


if __name__ == "__main__":
    unittest.main()
