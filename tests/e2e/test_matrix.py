"""Every ending at every stage on every kind of host, retries, limits of memory, leaks.

Faults are done on order by real jobs of real hosts (stage/fake.h), then by test classes, then by
what real models do to the real compiler and to a real compiled module.
"""

import collections
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
import unittest

import numpy as np

import support
from support import (FLOAT, NODE_TESTS, STAGES, helper, model, read_text, stale_groups, tensor,
                     working_in, write_text)

sys.path.insert(0, os.path.join(support.ROOT, "tests", "golden"))
try:
    import check_schemas
except SystemExit:  # without jsonschema
    check_schemas = None

HOSTS = dict(zip(STAGES, ["the stage", "the Python frontend", "the compiler", "the compiler",
                          "the stage", "ONNX Runtime", "the compiled module", "the stage",
                          "the stage"]))
FILES = dict(zip(STAGES, [
    ["model.onnx"], ["model.torch_onnx.mlir", "import.json"],
    ["model.torch.mlir", "model.modified.mlir"], ["compiled_model.vmfb"],
    ["input.json", "input.0.bin"], ["golden_output.json", "golden_output.0.bin"],
    ["output.json", "output.0.bin"], [], ["comparison.json", "inference_comparison.log"]]))
SIGNALS = ["SEGV", "ABRT", "BUS", "ILL", "FPE", "TRAP", "KILL", "TERM"]
# The others that end a process; one that does not come from the main thread is no other.
MORE_SIGNALS = ["HUP", "INT", "QUIT", "USR1", "USR2", "PIPE", "ALRM", "STKFLT", "XCPU", "XFSZ",
                "VTALRM", "PROF", "POLL", "PWR", "SYS"]

# How a fault ends: its why, "" for none; a message, in which {} is who did the work; what its log
# holds besides; and how often it is tried.
Ending = collections.namedtuple("Ending", "why says log attempts", defaults=["", "", 1])
ENDINGS = {
    "pass": Ending("", ""),
    "error": Ending("error", r"the fake engine says no"),
    "error:no such thing": Ending("error", r"no such thing"),
    "unsupported": Ending("unsupported", r"the fake engine cannot do this"),
    "exit:3": Ending("protocol", r"{} ended with exit code 3 and without a result"),
    "silent": Ending("protocol", r"{} ended with exit code 0 and without a result"),
    "garbage": Ending("protocol", r"{} sent something that is no result"),
    "half-frame": Ending("protocol", r"{} sent something that is no result"),
    "not-json": Ending("protocol", r"{} sent a reply that is none"),
    "segv": Ending("crash:SIGSEGV", r"{} crashed(: Fatal Python error: Segmentation fault)?"),
    "abort": Ending("crash:SIGABRT", r"{} crashed: fault: an assertion that does not hold",
                    "\nfault: an assertion that does not hold\n"),
    "crash-after-reply": Ending("crash:SIGSEGV", r"{} crashed"),
    "half-file:output.json": Ending("crash:SIGABRT", r"{} crashed"),
    "flood:20": Ending("", ""),
    "leak:2": Ending("", ""),
}
for name in SIGNALS:
    for where in ("signal", "thread"):
        ENDINGS[f"{where}:{name}"] = Ending(f"crash:SIG{name}", r"{} crashed")
    ENDINGS[f"grandchild:{name}"] = Ending("", "")
for name in MORE_SIGNALS:
    ENDINGS[f"signal:{name}"] = Ending(f"crash:SIG{name}", r"{} crashed")
for where in ("signal", "thread"):
    ENDINGS[f"{where}:KILL"] = Ending("killed", r"{} was killed from outside \(SIGKILL\)",
                                      attempts=2)
HANGS = {word: Ending("timeout", r"{} did not end within 1 s")
         for word in ("busy", "sleep", "stubborn", "stop")}
TOO_MUCH = Ending("memory", r"{} needed more memory than the 64 MiB that --memory allows")


def failed(stage):
    return "results-summary" if stage == "comparison" else stage


def soon(what, limit=support.PATIENCE):
    """Call `what` until it returns something empty; returns the last it returned."""
    until = time.monotonic() + limit
    while True:
        value = what()
        if not value or time.monotonic() > until:
            return value
        time.sleep(0.02)


class Case(support.TestCase):
    """Runs whose processes are all known by a marker that only they have in their PATH."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.marker = f"gauntlet-e2e-matrix-{os.getpid()}-{time.time_ns()}"
        cls.fake_env = {"GAUNTLET_FAKE": "1",
                        "PATH": f"/nonexistent/{cls.marker}:{os.environ.get('PATH', '')}"}
        cls.groups = set(stale_groups())  # of runs that somebody killed before

    def write_fake(self, name, tests):
        return write_text(self.path(f"{name}.fake"), json.dumps(tests))

    def fake(self, name, tests, *arguments, code=None, env=None):
        """Run fake tests; nothing of them is left. (how it ended, what its files say)"""
        ran, run = self.run_tests(
            name, "--suite", self.write_fake(name, tests), *arguments, code=code,
            env={**self.fake_env, **(env or {})})
        self.nothing_left(name)
        self.assertTrue(run.results["complete"], ran)
        return ran, run

    def nothing_left(self, folder):
        self.assertEqual(soon(lambda: support.alive(self.marker)), [])
        self.assertEqual(soon(lambda: working_in(self.path(folder))), [])
        self.assertEqual(soon(lambda: set(stale_groups()) - self.groups, 10), set())
        self.assertNotIn("tmp", os.listdir(self.path(folder)))

    def valid(self, run):
        """The journal is what the schema says; of lines that differ in names only, one is enough."""
        if not check_schemas:
            return
        validator, seen = check_schemas.validator("events"), set()
        for number, event in enumerate(run.events()):
            self.assertEqual(event["seq"], number)
            kind = tuple(event.get(k) for k in ("event", "stage", "why", "ok", "status", "leaked"))
            if kind not in seen:
                seen.add(kind)
                validator.validate(event)
        check_schemas.validator("results").validate(
            {**run.results, "tests": run.results["tests"][::9]})

    def ends_of(self, run):
        """test -> its stage-end events"""
        ends = collections.defaultdict(list)
        for event in run.events():
            if event["event"] == "stage-end":
                ends[event["test"]].append(event)
        return ends


@unittest.skipUnless(check_schemas, "the Python package jsonschema is not there")
class Schema(unittest.TestCase):
    def test_can_fail(self):
        """What the matrix leans on to check journals."""
        self.assertFalse(check_schemas.validator("events").is_valid({"event": "stage-end"}))


class Matrix(Case):
    """ending x stage, and so ending x kind of host."""

    def matrix(self, folder, endings, *arguments, stages=STAGES, expect=True, env=None):
        """One run of every ending at every stage. It ends as expected, so its exit code is 0."""
        cells = {f"{re.sub('[^a-z0-9]+', '_', fault.lower())}.{stage}": (fault, stage, ending)
                 for fault, ending in endings.items() for stage in stages}
        self.assertEqual(len(cells), len(stages) * len(endings))
        lines = [f"{name} {failed(stage)}:{ending.why}" for name, (_, stage, ending)
                 in cells.items() if ending.why]
        if expect:
            arguments += ("--expect", write_text(self.path(f"{folder}.expect"), "\n".join(lines)))
        ran, run = self.fake(
            folder, {name: {stage: fault} for name, (fault, stage, _) in cells.items()},
            "-j", "8", "--torchtolinalg", *arguments, code=0 if expect or not lines else 1, env=env)
        self.valid(run)
        ends = self.ends_of(run)
        self.assertEqual(list(run.tests), sorted(cells))
        for name, (fault, stage, ending) in cells.items():
            with self.subTest(f"{fault} at {stage}"):
                self.check_cell(run, ends[name], name, stage, ending)
        verdicts = run.results["counts"]["by_verdict"]
        self.assertEqual(verdicts["XFAIL" if expect else "FAIL"], len(lines))
        self.assertEqual(verdicts["PASS"], len(cells) - len(lines))
        return run, ends

    def check_cell(self, run, ends, name, stage, ending):
        test, done = run[name], STAGES[:STAGES.index(stage)]
        wanted = {"test.json", "stages.json"}
        if ending.why:
            self.assertEqual((test["status"], test["why"], test["stage"]),
                             (failed(stage), ending.why, stage), test["message"])
            message = ending.says.format(HOSTS[stage])
            self.assertRegex(test["message"], rf"\A{message}\Z")
            attempts = [1] * len(done) + list(range(1, ending.attempts + 1))
            self.assertEqual([e["stage"] for e in ends], done + [stage] * ending.attempts)
            self.check_log(run, name, stage, ending)
            wanted.add(f"{stage}.log")
        else:
            self.assertEqual((test["status"], test["why"]), ("PASS", ""), test["message"])
            done, attempts = STAGES, [1] * len(STAGES)
            self.assertEqual([e["stage"] for e in ends], STAGES)
        self.assertEqual([e["attempt"] for e in ends], attempts)
        self.assertEqual([e["ok"] for e in ends],
                         [True] * len(done) + [False] * (len(ends) - len(done)))
        self.assertFalse(test["flaky"])
        self.assertEqual(list(test["stages"]), done if not ending.why else done + [stage])
        for each in done:
            wanted.update(FILES[each])
        found = set(os.listdir(run.folder(name)))
        self.assertEqual(found - {f"{stage}.output"}, wanted)
        if f"{stage}.output" in found:  # a fault that printed something and went on
            self.assertTrue(name.startswith("flood"), found)

    def check_log(self, run, name, stage, ending):
        log = run.text(name, f"{stage}.log")
        for line in (f"test    {name}", f"stage   {stage}", f"why     {ending.why}",
                     f"message {run[name]['message']}",
                     f"again   gauntlet stage {stage} '{run.folder(name)}'"):
            self.assertIn(f"{line}\n", log)
        self.assertRegex(log, r"\ntime    \d+\.\d{3} s\n")
        self.assertIn(ending.log, log)

    def test_endings(self):
        run, ends = self.matrix("endings", ENDINGS, "--timeout", "30")
        for stage in STAGES:
            with self.subTest(stage):
                at = STAGES.index(stage)
                flood = ends[f"flood_20.{stage}"][at]
                self.assertGreater(flood["output_bytes"], (20 << 20) - 40960)
                size = os.path.getsize(run.file(f"flood_20.{stage}", f"{stage}.output"))
                self.assertAlmostEqual(size, flood["output_bytes"] - flood["dropped_bytes"],
                                       delta=100)
                self.assertTrue(8 << 20 < size < 9 << 20, size)
                leak = ends[f"leak_2.{stage}"][at]
                self.assertEqual(leak["leftovers"], 2)
                who = "python" if stage == "import_model" else "gauntlet"
                self.assertRegex(leak["leaked"], rf"\A{who}\S* \(2\)\Z")
                test = run[f"leak_2.{stage}"]
                self.assertEqual((test["leftovers"], test["leaked"]), (2, leak["leaked"]))
                for name, events in ends.items():
                    if not name.startswith("leak"):
                        self.assertEqual([e["leftovers"] for e in events], [0] * len(events), name)

    def test_hangs(self):
        used = collections.defaultdict(list)
        for stage in STAGES:  # a limit that is soon met is for those alone that hang
            _, ends = self.matrix(f"hangs-{stage}", HANGS, "--timeout", "60", "--timeout",
                                  f"{stage}=1", "--retries", "timeout=0", stages=[stage],
                                  expect=False)
            for name, events in ends.items():
                last = events[-1]
                self.assertGreaterEqual(last["seconds"], 1, name)
                self.assertLess(last["seconds"], 6, name)  # the kill did not have to be repeated
                used[name.split(".")[0]].append(last["user_seconds"] + last["system_seconds"])
        for fault, seconds in used.items():
            self.assertEqual(len(seconds), len(STAGES))
            if fault == "busy":  # one that stood still for its second has not used it
                self.assertGreater(statistics.median(seconds), 0.05)
            else:
                self.assertLess(max(seconds), 0.5, fault)

    def test_memory(self):
        """However the limit is watched: the same verdicts."""
        for kind in ("", "polling", "cgroup1"):
            with self.subTest(kind):
                run, ends = self.matrix(
                    f"memory{kind}", {"memory:300+sleep": TOO_MUCH, "memory:16": Ending("", "")},
                    "--timeout", "60", "--memory", "64M", env={"GAUNTLET_MEMORY": kind})
                self.assertFalse([e for events in ends.values() for e in events if e["leftovers"]])

    def test_wrong_answer(self):
        run = self.fake("wrong", {stage: {stage: "wrong"} for stage in STAGES}, code=1)[1]
        for stage in STAGES:
            if stage == "compiled_inference":
                self.ends(run, stage, "Numerics", "value", "2 where 1 is right")
                self.assertFalse(run.json(stage, "comparison.json")["match"])
            else:
                self.ends(run, stage, "PASS")

    def test_unknown_order(self):
        run = self.fake("unknown", {stage: {stage: "no-such-fault"} for stage in STAGES},
                        code=1)[1]
        for stage in STAGES:
            self.ends(run, stage, failed(stage), says="there is no fault 'no-such-fault'")

    def test_other_hosts(self):
        """Stages that another option sends to another host."""
        tests = {stage: {stage: "segv"} for stage in ("preprocessing", "native_inference")}
        run = self.fake("plain", tests, "--reference", "stored", code=1)[1]
        for stage in tests:
            self.ends(run, stage, stage, "crash:SIGSEGV", "the stage crashed")


class FullDisk(Case):
    """A job that fills the disk, at each stage and so on each kind of host, is a fault of its own
    kind: the run ends, for nothing that fails from then on would say anything of a test."""

    def mount(self, name):
        small = self.path(name)
        os.mkdir(small)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", small],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            self.skipTest(f"may not mount a small file system: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", small], check=True)
        return os.path.join(name, "run")

    def test_endings(self):
        for stage in STAGES:
            with self.subTest(stage):
                folder = self.mount(f"disk-{stage}")
                suite = self.write_fake(stage, {"filler": {stage: "leak:2+fill-disk"}})
                ran = self.gauntlet("run", "-r", folder, "--suite", suite, "--torchtolinalg",
                                    env=self.fake_env)
                self.nothing_left(folder)
                run, ends = support.Run(self.path(folder)), STAGES[:STAGES.index(stage)]
                if ran.code == 0:  # it wrote nothing of its own, and the journal still had room
                    self.assertEqual(stage, "postprocessing")
                    self.ends(run, "filler", "PASS")
                    continue
                self.assertEqual(ran.code, 3, ran)
                self.assertRegex(ran.err, r"\Agauntlet: [^\n]*(No space left on device|is full: "
                                          r"make room)[^\n]*\n\Z")
                self.assertIn("INCOMPLETE", ran.out)
                self.assertFalse(run.results["complete"])
                self.assertFalse(run["filler"]["status"])
                events = [json.loads(line) for line in support.read_text(
                    self.path(folder, "events.jsonl")).splitlines(True) if line[-1] == "\n"]
                self.assertEqual([e["stage"] for e in events if e["event"] == "stage-end"], ends)
                wanted = {"test.json"}.union(*(FILES[s] for s in ends))
                found = set(os.listdir(run.folder("filler"))) - {"stages.json"}
                self.assertTrue(wanted <= found <= wanted.union(FILES[stage]), found)
                ran = self.gauntlet("report", folder)
                self.assertEqual((ran.code, ran.err), (6, ""), ran)


class Watch(Case):
    """The checks above can fail: they see what lives, and a kill -9 leaves nothing to see."""

    def test_hard_kill(self):
        process = subprocess.Popen(
            [support.BINARY, "run", "-r", "watch", "--memory", "1G", "-j", "2", "--suite",
             self.write_fake("watch", {"a": {"compilation": "sleep"}, "b": {"setup": "leak:3"}})],
            cwd=self.here, env=support.environment(**self.fake_env), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        inside = self.path("watch")
        for says in (b'"test-end","test":"b"', b'"stage-start","test":"a","stage":"compilation"'):
            support.wait_for(lambda says=says: any(says in line for line in support.journal(inside)),
                             process)
        support.wait_for(lambda: working_in(inside), process)
        lived = support.alive(self.marker)
        self.assertGreater(len(lived), 3)
        process.kill()
        process.wait()
        self.assertEqual(soon(lambda: support.alive(self.marker)), [])
        # Also none that is dead and that nobody has asked about: its number is still its own.
        self.assertEqual(soon(lambda: [p for p in lived if os.path.exists(f"/proc/{p}")]), [])
        # A group whose supervisor had no time to remove it goes with the next host.
        self.fake("watch", {"a": {}}, "--memory", "1G", code=0)


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

HOOKS = '''
import os
import signal
import time

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


for deed in (lambda self: os.abort(), lambda self: os._exit(0), loop, leak, leave, print_much,
             lambda self: os.close(3), lambda self: os.kill(os.getpid(), signal.SIGKILL)):
    deed.number = globals().get("number", -1) + 1
    number = deed.number
    name = ("abort", "exit", "loop", "leak", "leave", "print", "close", "kill")[number]
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
        self.assertEqual(len(self.run_.tests), 7 * 4 + 1)
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
                    if deed in ("abort", "leave"):
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
