"""What is tried again, limits of memory, processes that are left behind."""

import collections
import os
import unittest

from matrix import Case, failed
from support import STAGES, read_text, write_text


class Retries(Case):
    FAULTS = {"error": "error", "crash": "segv", "timeout": "sleep", "memory": "memory:300+sleep",
              "protocol": "silent", "killed": "signal:KILL", "leaked": "leak"}
    # What meets a limit does so at a stage of its own, where nothing else takes its time.
    STAGE = collections.defaultdict(lambda: "compilation", timeout="compiled_inference")
    LIMITS = ["--memory", "64M", "--leak", "fail", "--timeout", "60", "--timeout",
              "compiled_inference=3", "-j", "4"]

    def retries(self, folder, faults, *arguments, code):
        return self.fake(
            folder, {name: {self.STAGE[name]: fault} for name, fault in faults.items()},
            *self.LIMITS, *arguments, code=code)

    def attempts(self, run):
        return {name: [(e["attempt"], e["why"]) for e in events if e["stage"] == self.STAGE[name]]
                for name, events in self.ends_of(run).items()}

    def test_each_class(self):
        """A fault that goes away passes and is flaky, but for what the surroundings did."""
        arguments = [a for name in self.FAULTS for a in ("--retries", f"{name}=2")]
        ran, run = self.retries("each", {k: f"2*{v}" for k, v in self.FAULTS.items()}, *arguments,
                                code=0)
        for name, attempts in self.attempts(run).items():
            with self.subTest(name):
                why = "crash:SIGSEGV" if name == "crash" else name
                self.assertEqual(attempts, [(1, why), (2, why), (3, "")])
                self.ends(run, name, "PASS")
                self.assertEqual(run[name]["flaky"], name != "killed")
                self.assertNotIn(f"{self.STAGE[name]}.log", os.listdir(run.folder(name)))
        self.assertRegex(ran.out, r"(?i)flaky")
        listed = ran.out[ran.out.lower().index("flaky"):].split("\n\n")[0]
        for name in self.FAULTS:
            (self.assertIn if name != "killed" else self.assertNotIn)(name, listed)
        self.valid(run)

    def test_none(self):
        ran, run = self.retries("none", {k: f"1*{v}" for k, v in self.FAULTS.items()},
                                "--retries", "0", code=1)
        for name, attempts in self.attempts(run).items():
            why = "crash:SIGSEGV" if name == "crash" else name
            self.assertEqual(attempts, [(1, why)])
            self.ends(run, name, self.STAGE[name], why)
            self.assertFalse(run[name]["flaky"])
        self.assertNotRegex(ran.out, r"(?i)flaky")

    def test_default(self):
        ran, run = self.retries("default", {k: f"1*{v}" for k, v in self.FAULTS.items()}, code=1)
        passed = {name for name in self.FAULTS if run[name]["status"] == "PASS"}
        self.assertEqual(passed, {"killed", "timeout"})
        self.assertEqual([name for name, t in run.tests.items() if t["flaky"]], ["timeout"])

    def test_not_enough(self):
        """One retry of another class, and one too few, change nothing; unsupported has no class."""
        faults = {"crash": "2*segv", "error": "1*error", "unsupported": "1*unsupported"}
        ran, run = self.retries("few", faults, "--retries", "crash=1", code=1)
        self.assertEqual(self.attempts(run), {
            "crash": [(1, "crash:SIGSEGV"), (2, "crash:SIGSEGV")], "error": [(1, "error")],
            "unsupported": [(1, "unsupported")]})
        self.assertEqual([t["flaky"] for t in run.tests.values()], [False] * 3)
        ran, run = self.retries("all", faults, "--retries", "2", "--retries", "error=0", code=1)
        self.assertEqual({k: len(v) for k, v in self.attempts(run).items()},
                         {"crash": 3, "error": 1, "unsupported": 1})
        self.ends(run, "crash", "PASS")

    def test_a_timeout_is_tried_alone(self):
        """A stage's time is that between its end and its seconds before: it may wait to start."""
        tests = {f"busy{i}": {STAGES[i]: "sleep:500", STAGES[i + 3]: "sleep:500"} for i in range(5)}
        tests.update({f"late{i}": {stage: "1*sleep"}
                      for i, stage in enumerate(("setup", "compilation", "native_inference"))})
        tests["ever"] = {"import_model": "sleep"}
        ran, run = self.fake("alone", tests, "--timeout", "3", "-j", "5", code=1)
        jobs = [(e["t"] - e["seconds"] * 1e9, e["t"], e["test"], e["stage"], e["attempt"])
                for e in run.events() if e["event"] == "stage-end"]
        slack = 2e6  # between the end of a job and the event that tells of it

        def beside(job):
            return [other for other in jobs if other is not job
                    and other[0] < job[1] - slack and job[0] < other[1] - slack]

        again = [job for job in jobs if job[4] == 2]
        self.assertEqual(len(again), 4)
        for job in again:
            self.assertEqual(beside(job), [], job)
        first = [job for job in jobs if job[2][:4] in ("late", "busy") and job[1] - job[0] > 4e8]
        self.assertTrue(any(beside(job) for job in first), "nothing ran beside anything")
        for i in range(3):
            self.ends(run, f"late{i}", "PASS")
            self.assertTrue(run[f"late{i}"]["flaky"])
        self.ends(run, "ever", "import_model", "timeout", "within 3 s")
        self.assertFalse(run["ever"]["flaky"])

    def test_bad_values(self):
        for value in ("", "x", "-1", "101", "1.5", "1x", "crash=", "crash=x", "=1", "crash=-1",
                      "crash=101", "unsupported=1", "numerics=1", "crash:SIGSEGV=1", "CRASH=1",
                      " 1", "99999999999999999999", "crash = 1"):
            with self.subTest(value):
                self.refused("run", "test_abs", f"--retries={value}", says="--retries")


class Memory(Case):
    def test_bad_values(self):
        for value in ("", "x", "0", "-1M", "1Q", "M", "1MM", "1 M", "nan", "inf", "1e99",
                      "99999999999999999999G"):
            with self.subTest(value):
                self.refused("run", "test_abs", f"--memory={value}", says="--memory")

    def test_whole_tree(self):
        """What children use counts, also if the tool itself goes on or prints all the time."""
        path = write_text(self.path("eaters.py"), EATERS)
        for kind in ("", "polling", "cgroup1"):
            with self.subTest(kind):
                folder = f"eaters{kind}"
                ran, run = self.run_tests(
                    folder, "--suite", path, "--memory", "200M", "--stages", "setup", "-j", "4",
                    "--timeout", "60", code=1, env={**self.fake_env, "GAUNTLET_MEMORY": kind})
                self.nothing_left(folder)
                for name in ("child_eats", "child_eats_tool_goes_on", "many_children",
                             "eats_and_prints"):
                    self.ends(run, name, "setup", "memory", "200 MiB")
                self.ends(run, "eats_little", "PASS", "partial")


class Leaks(Case):
    def test_of_a_job_that_was_killed(self):
        """Helpers that are killed with a tool would perhaps have ended with it: they are no leak."""
        tests = {"late": {"setup": "leak:8+sleep"}, "hungry": {"setup": "leak:8+memory:300"},
                 "crashes": {"setup": "leak:8+segv"}}
        _, run = self.fake("killed", tests, "--stages", "setup", "--timeout", "2", "--memory", "64M",
                           "--leak=fail", "-j", "3", code=1)
        self.ends(run, "late", "setup", "timeout")
        self.ends(run, "hungry", "setup", "memory")
        self.assertEqual({name: (run[name]["leftovers"], run[name]["leaked"] != "") for name in tests},
                         {"late": (0, False), "hungry": (0, False), "crashes": (8, True)})

    def test_report(self):
        """They are no failure by themselves, but nobody has to look for them in files."""
        tests = {"a": {"setup": "leak:2"}, "b": {"compilation": "leak"}, "c": {}}
        ran, run = self.fake("report", tests, "--report", "--report-file", self.path("leaks.md"))
        said = " ".join(ran.out.split())
        self.assertRegex(said, r"2 left processes running, which were ended: a: \S+ \(2\); b: \w")
        text = read_text(self.path("leaks.md"))
        self.assertRegex(text, r"\| a \| PASS \| None \| left running: \S+ \(2\)")
        self.assertRegex(text, r"\| c \| PASS \| None \| \|")
        self.valid(run)

    def test_fail(self):
        tests = {stage: {stage: "leak:2"} for stage in STAGES}
        tests["one"] = {"setup": "leak"}
        tests["crash"] = {"setup": "pass", "compilation": "segv"}
        ran, run = self.fake("fail", tests, "--leak", "fail", "-j", "4", code=1)
        for stage in STAGES:
            self.ends(run, stage, failed(stage), "leaked", "left 2 processes running: ")
            self.assertRegex(run[stage]["message"], r"\A(the|ONNX) .*: \S+ \(2\)\Z")
            self.assertIn("why     leaked\n", run.text(stage, f"{stage}.log"))
        self.ends(run, "one", "setup", "leaked", "left 1 process running: ")
        self.ends(run, "crash", "compilation", "crash:SIGSEGV")
        self.valid(run)

    def test_bad_value(self):
        self.refused("run", "test_abs", "--leak", "perhaps", says=["--leak", "report", "fail"])


EATERS = '''
import os
import subprocess
import sys
import time

from gauntlet import OnnxTest, register
from onnx import TensorProto, helper


def eat(mib, seconds=1000):
    """In a child; the memory is touched, so it is there."""
    return subprocess.Popen([sys.executable, "-c",
                             f"import time; x = bytearray({mib} << 20); "
                             f"x[::4096] = b'1' * len(x[::4096]); time.sleep({seconds})"])


class Base(OnnxTest):
    def construct_model(self):
        self.eat()
        node = helper.make_node("Abs", ["x"], ["y"])
        ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xy"]
        return helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]),
                                 opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@register("child_eats")
class ChildEats(Base):
    def eat(self):
        assert eat(600).wait() == 0


@register("child_eats_tool_goes_on")
class ChildEatsToolGoesOn(Base):
    def eat(self):
        eat(600).wait()


@register("many_children")
class ManyChildren(Base):
    """None of them is over the limit, together they are."""

    def eat(self):
        assert not any([child.wait() for child in [eat(90) for _ in range(4)]])


@register("eats_and_prints")
class EatsAndPrints(Base):
    """There is always something to read while its memory grows."""

    def eat(self):
        kept = []
        while True:
            os.write(1, b"x" * 65536)
            if len(kept) < 600:
                kept.append(b"x" * (1 << 20))


@register("eats_little")
class EatsLittle(Base):
    def eat(self):
        assert eat(20, 1).wait() == 0
'''


if __name__ == "__main__":
    unittest.main()
