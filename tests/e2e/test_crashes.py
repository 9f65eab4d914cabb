"""Backtraces of crashed jobs: in the log, in the journal, in the record; right, and the same again."""

import json
import os
import re
import subprocess
import unittest

import support
from support import NODE_TESTS, STAGES, write_text

CRASHES = {"segv": "SIGSEGV", "abort": "SIGABRT", "overflow": "SIGSEGV", "nowhere": "SIGSEGV",
           "segv:thread": "SIGSEGV", "abort:thread": "SIGABRT", "segv:threads": "SIGSEGV",
           "overflow:thread": "SIGSEGV"}
FUNCTION = {"segv": "follow_null", "abort": "abort_with_a_word", "overflow": "fill_stack",
            "nowhere": "call_null"}
FRAME = re.compile(r"#(\d+) (\S+)\+0x([0-9a-f]+)(?: \((\S+)\+0x[0-9a-f]+\))?(?: interrupted .*)?")


class Case(support.TestCase):
    def parse(self, log):
        """(notes, frames as matches of FRAME) of the backtrace in a log."""
        section = log.split("\nbacktrace\n", 1)[1].split("\n\n", 1)[0].rstrip("\n").split("\n")
        notes = [line for line in section if line[0] != "#"]
        frames = [FRAME.fullmatch(line) for line in section if line[0] == "#"]
        self.assertNotIn(None, frames, section)
        self.assertEqual([int(f[1]) for f in frames], list(range(len(frames))))
        return notes, frames

    def check(self, run, test, stage):
        """Log, journal and record say the same: (key, notes, frames)."""
        log = run.text(test, f"{stage}.log")
        notes, frames = self.parse(log)
        end = [e for e in run.events() if e["event"] == "stage-end" and e["test"] == test][-1]
        self.assertEqual(end["stage"], stage)
        record = run.json(test, "stages.json")["stages"][stage]
        self.assertEqual(record["crash"], end["crash"])
        self.assertEqual(end["crash"]["frames"], [f[0].split(" ", 1)[1] for f in frames][:10])
        key = re.search(r"(?m)^crash   ([0-9a-f]{16})$", log)
        self.assertEqual(end["crash"]["key"], key[1] if key else "")
        return end["crash"]["key"], notes, frames


class Fakes(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tests = {f"{re.sub('[^a-z]', '_', order)}.{stage}": {stage: order}
                 for order in CRASHES for stage in STAGES}
        tests["grandchild"] = {stage: "segv:grandchild" for stage in STAGES}
        tests["error"] = {"compilation": "error"}
        tests["term"] = {"compilation": "signal:TERM"}
        cls.file = write_text(cls.path("x.fake"), json.dumps(tests))
        cls.runs = [cls.run_tests(f"run{i}", "--suite", cls.file, "-j", "4", code=1, env=env)[1]
                    for i, env in enumerate(({"GAUNTLET_FAKE": "1"},
                                             {"GAUNTLET_FAKE": "1", "GAUNTLET_ISOLATION": "user",
                                              "PADDING": "x" * 50000}))]

    def test_every_host(self):
        for order, name in CRASHES.items():
            for stage in STAGES:
                test = f"{re.sub('[^a-z]', '_', order)}.{stage}"
                with self.subTest(test):
                    status = "results-summary" if stage == "comparison" else stage
                    self.ends(self.runs[0], test, status, f"crash:{name}")
                    self.check_fake(test, stage, order)

    def check_fake(self, test, stage, order):
        key, notes, frames = self.check(self.runs[0], test, stage)
        if order == "overflow:thread":  # there is no other stack than the one that is full
            self.assertEqual((key, notes, frames), ("", ["the stack could not be read"], []))
            return
        program = "libgauntlet_worker.so" if stage == "import_model" else "gauntlet"
        function = FUNCTION[order.split(":")[0]]
        first = next(i for i, f in enumerate(frames) if f[2] == program)
        self.assertEqual(frames[first][4], function)
        for frame in frames[:first]:
            self.assertIn(frame[2], ("?", "libc.so.6"))
        if order in ("segv", "abort"):
            self.assertIn("gt_fault", [f[4] for f in frames])
            self.assertIn("python3" if stage == "import_model" else "main",
                          [f[4] for f in frames] + [f[2][:7] for f in frames])
        self.assertEqual(notes, {"overflow": ["the stack is full", "and so on"],
                                 "nowhere": ["the stack could not be read to its end"]}.get(order, []))
        # The same crash has the same key, whatever else differs.
        self.assertRegex(key, r"\A[0-9a-f]{16}\Z")
        self.assertEqual(self.check(self.runs[1], test, stage)[0], key)

    def test_keys_differ(self):
        keys = {self.check(self.runs[0], f"{order}.{stage}", stage)[0]
                for order in FUNCTION for stage in ("setup", "import_model")}
        self.assertEqual(len(keys), 2 * len(FUNCTION))

    def test_frames_are_right(self):
        """The toolchain's own reader finds the line of the source that crashes."""
        for order, line in (("segv", "*(volatile int *)nowhere = 1;"), ("abort", "abort();")):
            for stage, binary in (("compilation", support.BINARY), ("import_model", os.path.join(
                    os.path.dirname(support.BINARY), "libgauntlet_worker.so"))):
                with self.subTest(f"{order} at {stage}"):
                    frames = self.check(self.runs[0], f"{order}.{stage}", stage)[2]
                    frame = next(f for f in frames if f[4] == FUNCTION[order])
                    try:
                        said = subprocess.run(["addr2line", "-f", "-e", binary, f"0x{frame[3]}"],
                                              capture_output=True, text=True, check=True).stdout
                    except FileNotFoundError:
                        self.skipTest("there is no addr2line")
                    function, place = said.split("\n")[:2]
                    self.assertEqual(function, FUNCTION[order])
                    path, number = place.split(" ")[0].rsplit(":", 1)
                    with open(path, encoding="utf-8") as f:
                        self.assertIn(line, f.read().split("\n")[int(number) - 1])

    def test_nothing_to_show(self):
        run = self.runs[0]
        self.ends(run, "grandchild", "PASS")
        for test, why in (("error", "error"), ("term", "crash:SIGTERM")):
            self.ends(run, test, "compilation", why)
            self.assertNotIn("backtrace", run.text(test, "compilation.log"))
        for event in run.events():
            crashed = event["event"] == "stage-end" and event["why"].startswith("crash:SIG")
            self.assertEqual("crash" in event, crashed and event["test"] != "term", event)

    def test_python_speaks_too(self):
        """Python's own handler comes second."""
        log = self.runs[0].text("segv.import_model", "import_model.log")
        self.assertIn("\nFatal Python error: Segmentation fault\n", log)
        self.assertRegex(log, r'File ".*/worker.py", line \d+ in fault\n')
        self.assertLess(log.index("\nbacktrace\n"), log.rindex("Fatal Python error"))


HOOK = '''
import os
from gauntlet import OnnxTest, register

@register("aborts")
class Aborts(OnnxTest):
    def construct_model(self):
        os.abort()
'''


class Real(Case):
    def test_test_class(self):
        path = write_text(self.path("hook.py"), HOOK)
        _, run = self.run_tests("hook", "--suite", path, code=1)
        self.ends(run, "aborts", "setup", "crash:SIGABRT")
        key, _, frames = self.check(run, "aborts", "setup")
        self.assertIn("abort", [f[4] for f in frames])
        self.assertTrue(any("python" in f[2] for f in frames))
        self.assertTrue(key)

    def test_compiler(self):
        """What real models do to the real compiler: its own names, one key for each of its faults."""
        names = sorted(os.listdir(NODE_TESTS))
        groups = [
            (r"test_rotary_embedding(_\w+)?_expanded", "SIGSEGV", "OnnxCustomOpConversionPattern"),
            (r"test_castlike_FLOAT(16)?_to_U?INT4", "SIGABRT", "getScalarTypeForType"),
            (r"test_reshape_allowzero_reordered", "SIGFPE", "ConvertAtenViewOp"),
        ]
        cases = {name: group for group in groups for name in names if re.fullmatch(group[0], name)}
        self.assertGreaterEqual(len(cases), 10)
        keys = []
        for folder in ("first", "second"):
            _, run = self.run_tests(folder, *cases, "--stages", *STAGES[:4], "--expect", "none",
                                    code=1)
            keys.append({})
            for name, (_, number, function) in cases.items():
                with self.subTest(name):
                    self.ends(run, name, "compilation", f"crash:{number}")
                    key, notes, frames = self.check(run, name, "compilation")
                    self.assertEqual(notes, [])
                    own = [f for f in frames if f[2] == "libIREECompiler.so"]
                    self.assertGreater(len(own), 10)
                    self.assertIn(function, "".join(f[4] for f in own[:8]))
                    # Our own call into it is at the end of its frames.
                    self.assertEqual(own[-1][4], "ireeCompilerInvocationPipeline")
                    self.assertEqual(frames[int(own[-1][1]) + 1][4], "compile")
                    keys[-1][name] = key
        self.assertEqual(*keys)
        found = {group: {keys[0][name] for name in cases if cases[name] == group}
                 for group in groups}
        self.assertEqual([len(k) for k in found.values()], [1] * len(groups))
        self.assertEqual(len(set.union(*found.values())), len(groups))


if __name__ == "__main__":
    unittest.main()
