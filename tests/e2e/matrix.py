"""What the tests of endings share: what ends how at which stage, and that nothing is left of a run."""

import collections
import json
import os
import sys
import time

import support
from support import STAGES, stale_groups, working_in, write_text

sys.path.insert(0, os.path.join(support.ROOT, "tests", "golden"))
try:
    import check_schemas
except SystemExit:  # without jsonschema
    check_schemas = None

HOSTS = dict(zip(STAGES, ["the stage", "the Python frontend", "the compiler", "the compiler",
                          "the stage", "ONNX Runtime", "the compiled module", "the stage",
                          "the stage"]))
KINDS = {"plain": "construct_inputs", "frontend": "import_model", "compiler": "compilation",
         "reference": "native_inference", "runtime": "compiled_inference"}
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
        # Whose socket the run has closed as it ended needs a moment to see it.
        self.assertEqual(soon(lambda: support.alive(self.marker), 10), [])
        self.assertEqual(soon(lambda: working_in(self.path(folder)), 10), [])
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
