"""Files of a run that were damaged, and the commands that read them (docs/formats.md, "Damage").

Every byte of every file is unit.damage's; here are some of each file, through the program.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import unittest

import numpy as np

import support
from support import STAGES, read_text, write_text

CLASS = '''
import numpy as np
from onnx import TensorProto, helper
from gauntlet import OnnxTest, register

@register("classy")
class Classy(OnnxTest):
    def construct_model(self):
        graph = helper.make_graph(
            [helper.make_node("Neg", ["x"], ["y"])], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def apply_postprocessing(self, outputs):
        return [np.argsort(outputs[0]).astype(np.int64)]
'''

# The first stage that reads a file which an earlier one left.
READERS = [
    (r"model\.onnx|weights\.bin", "import_model"),
    (r"model\.torch_onnx\.mlir", "compilation"),
    (r"compiled_model\.vmfb|import\.json", "compiled_inference"),
    (r"(data_set_1/)?input\.(json|0\.bin)", "compiled_inference"),
    (r"processed/.*", "comparison"),
    (r"(data_set_1/)?(golden_)?output\.(json|0\.bin)", "comparison"),
]
UNREAD = r"comparison\.json|inference_comparison\.log|.*\.output"


def reader(test, name):
    for pattern, stage in READERS:
        if re.fullmatch(pattern, name):
            return "postprocessing" if test == "classy" and re.match("golden|output", name) else stage
    return None


def damages(data, chance):
    """(what was done, bytes): cut at the start, at the end, somewhere; changed there."""
    places = [0, len(data) - 1, chance.randrange(len(data))]
    for at in places:
        yield f"cut at {at}", data[:at]
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        yield f"changed at {at}", bytes(changed)


class Damage(support.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        x = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
        support.write_test(cls.path("suite", "plain"), support.unary("Abs"),
                           ([x], [np.abs(x)]), ([x * 2], [np.abs(x * 2)]))
        support.write_test(cls.path("suite", "wrong"), support.unary("Abs"), ([x], [x]))
        write_text(cls.path("classes.py"), CLASS)
        cls.chance = random.Random(7)
        cls.flags = ["--suite", "suite", "--suite", "classes.py", "--color", "never"]
        cls.run_tests("whole", *cls.flags, code=1)
        cls.report = cls.gauntlet("report", "--color", "never", "whole")
        cls.results = support.Run(cls.path("whole")).results
        cls.ends_of = {t["test"]: (t["status"], t["why"]) for t in cls.results["tests"]}
        assert cls.ends_of == {"plain": ("PASS", ""), "wrong": ("Numerics", "value"),
                               "classy": ("PASS", "")}, cls.ends_of

    def copy(self):
        shutil.rmtree(self.path("r"), ignore_errors=True)
        shutil.copytree(self.path("whole"), self.path("r"), symlinks=True)

    def files(self, test):
        top = self.path("whole", test)
        for folder, _, names in os.walk(top):
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), top)

    def write(self, data, *parts):
        with open(self.path("r", *parts), "wb") as f:
            f.write(data)

    def read(self, *parts):
        with open(self.path("whole", *parts), "rb") as f:
            return f.read()

    def refused_stage(self, stage, test, name):
        """By hand the stage does not begin: one line that names the file."""
        ran = self.gauntlet("stage", stage, f"r/{test}")
        self.assertEqual((ran.code, ran.out), (2, ""), ran)
        self.assertRegex(ran.err, r"\Agauntlet: [^\n]+\n\Z")
        self.assertIn(os.path.basename(name), ran.err)

    def test_every_file_by_hand(self):
        for test in self.ends_of:
            self.copy()
            for name in sorted(self.files(test)):
                data = self.read(test, name)
                stage = "comparison" if name in ("test.json", "stages.json") else reader(test, name)
                if not stage:
                    self.assertRegex(name, UNREAD, "who reads it?")
                    continue
                for what, bad in damages(data, self.chance):
                    with self.subTest(file=f"{test}/{name}", what=what):
                        self.write(bad, test, name)
                        self.refused_stage(stage, test, name)
                self.write(data, test, name)
            ran = self.gauntlet("stage", "comparison", f"r/{test}")
            self.assertEqual(ran.code, int(test == "wrong"), ran)

    def test_every_file_in_a_run(self):
        """All tests lose the same file; each fails at the stage that would have read it, or passes."""
        names = sorted({name for test in self.ends_of for name in self.files(test)})
        for name in names:
            self.copy()
            has = [t for t in self.ends_of if os.path.isfile(self.path("whole", t, name))]
            stages = {reader(t, name) for t in has} - {None} or {"comparison"}
            for test in has:
                data = self.read(test, name)
                self.write(self.chance.choice(list(damages(data, self.chance)))[1], test, name)
            for stage in stages:
                with self.subTest(name, stage=stage):
                    later = STAGES[STAGES.index(stage):]
                    _, run = self.run_tests("r", *self.flags, "--stages", *later, code=1)
                    for test in self.ends_of:
                        reads = name == "stages.json" or reader(test, name) == stage
                        if test in has and reads:
                            status = "results-summary" if stage == "comparison" else stage
                            self.ends(run, test, status, "error", [os.path.basename(name)])
                        elif not any(reader(test, name) == s for s in stages):
                            self.assertEqual(run.end(test), self.ends_of[test])

    def test_report(self):
        journal = self.read("events.jsonl")
        self.copy()
        for _ in range(8):
            for what, bad in damages(journal, self.chance):
                with self.subTest(what):
                    self.write(bad, "events.jsonl")
                    ran = self.gauntlet("report", "--color", "never", "r")
                    if ran.code == 2:
                        self.assertRegex(ran.err, r"\Agauntlet: [^\n]*events.jsonl' line \d+: [^\n]+\n\Z")
                        continue
                    self.assertEqual(ran.code, 6, ran)
                    for test in support.Run(self.path("r")).results["tests"]:
                        if test["status"]:
                            self.assertEqual((test["status"], test["why"]),
                                             self.ends_of[test["test"]])
        # What a report is made from is the journal alone.
        self.copy()
        self.write(b"\0" * 99, "results.json")
        for test in self.ends_of:
            for name in self.files(test):
                self.write(b"", test, name)
        ran = self.gauntlet("report", "--color", "never", "r")
        self.assertEqual((ran.code, ran.out.replace("/r/", "/whole/")),
                         (self.report.code, self.report.out))
        self.assertEqual(support.Run(self.path("r")).results, self.results)

    def test_going_on(self):
        """--resume ends as the undisturbed run did, or does not begin."""
        fake = write_text(self.path("resume.fake"), json.dumps(
            {"a": {}, "b": {"compilation": "error:no"}, "c": {"compiled_inference": "wrong"}}))
        flags = ["--suite", fake]
        env = {"GAUNTLET_FAKE": "1"}
        _, whole = self.run_tests("on", *flags, code=1, env=env)
        with open(self.path("on", "events.jsonl"), "rb") as f:
            journal = f.read()
        ends, codes = [whole.end(t) for t in "abc"], set()
        for _ in range(2):
            for what, bad in damages(journal, self.chance):
                with self.subTest(what):
                    shutil.rmtree(self.path("r"), ignore_errors=True)
                    shutil.copytree(self.path("on"), self.path("r"))
                    self.write(bad, "events.jsonl")
                    ran = self.gauntlet("run", "-r", "r", *flags, "--resume", env=env)
                    codes.add(ran.code)
                    if ran.code == 2:
                        self.assertRegex(ran.err, r"\Agauntlet: [^\n]*events.jsonl' line \d+: [^\n]+\n\Z")
                    else:
                        self.assertEqual(ran.code, 1, ran)
                        run = support.Run(self.path("r"))
                        self.assertTrue(run.results["complete"])
                        self.assertEqual([run.end(t) for t in "abc"], ends)
        self.assertEqual(codes, {1, 2})
        # A test that had ended is run anew if its record is not whole.
        shutil.rmtree(self.path("r"))
        shutil.copytree(self.path("on"), self.path("r"))
        self.write(journal[:-20], "events.jsonl")
        self.write(b"{}", "a", "stages.json")
        ran = self.gauntlet("run", "-r", "r", *flags, "--resume", env=env)
        self.assertEqual(ran.code, 1, ran)
        self.assertRegex(ran.err, r"\Agauntlet: audit: 'a' ended as PASS, but '[^\n]*/a/stages.json' is "
                         r"damaged[^\n]*; it is run again\n\Z")
        run = support.Run(self.path("r"))
        self.assertTrue(run.results["complete"])
        self.assertEqual([run.end(t) for t in "abc"], ends)

    def test_audit(self):
        """What is damaged before its run has ended backs no result, and each of its files counts."""
        tests = ["fine", "record", "gone", "short", "match", "log", "partial"]
        orders = {t: {} for t in tests}
        orders["log"] = orders["partial"] = {"compilation": "error:no"}
        orders["slow"] = {"setup": f"until:{self.path('slow.gate')}"}
        fake = write_text(self.path("slow.fake"), json.dumps(orders))
        runner = subprocess.Popen(
            [support.BINARY, "run", "-r", "audit", "-j", "1", "--suite", fake],
            cwd=self.here, env=support.environment(GAUNTLET_FAKE="1"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(runner.wait)
        self.addCleanup(runner.kill)
        support.wait_for(lambda: any(b'"stage-start","test":"slow"' in line for line in
                                     support.journal(self.path("audit"))), runner)
        with open(self.path("audit", "record", "stages.json"), "r+b") as f:
            f.seek(-9, os.SEEK_END)
            f.write(b"!")
        os.remove(self.path("audit", "gone", "model.torch.mlir"))
        os.truncate(self.path("audit", "short", "compiled_model.vmfb"), 1)
        match = self.path("audit", "match", "comparison.json")
        text = read_text(match)
        write_text(match, text.replace('"match": true', '"match": null'))
        self.assertNotEqual(read_text(match), text)
        os.truncate(self.path("audit", "log", "compilation.log"), 0)
        os.remove(self.path("audit", "partial", "stages.json"))
        self.open("slow.gate")
        _, errors = runner.communicate(timeout=support.PATIENCE)
        self.assertEqual(runner.returncode, 6, errors)
        for says in (r"'record' ended as PASS, but '[^\n]*/record/stages.json' is damaged",
                     r"'gone' ended as PASS, but the file '[^\n]*/gone/model.torch.mlir' that "
                     r"preprocessing left is not there",
                     r"'short' ended as PASS, but the file '[^\n]*/short/compiled_model.vmfb' that "
                     r"compilation left has 1 bytes where \d+ are recorded",
                     r"'match' ended as PASS, but '[^\n]*/match/comparison.json'",
                     r"'log' ended as compilation, but the log '[^\n]*/log/compilation.log' is empty",
                     r"'partial' ended as compilation, but there is no '[^\n]*/partial/stages.json'"):
            self.assertRegex(errors, r"(?m)^gauntlet: audit: " + says)
        self.assertEqual(errors.count("gauntlet: audit:"), 6, errors)
        self.assertEqual(errors.count("; --resume runs it again\n"), 6, errors)
        # It is not forgotten: the reports of this run say so as well.
        self.assertFalse(support.read_json(self.path("audit", "results.json"))["complete"])
        ran = self.gauntlet("report", "audit")
        self.assertEqual(ran.code, 6, ran)
        self.assertIn("INCOMPLETE (audit): there are results that the files do not back", ran.out)
        # What the audit has found can be repaired, once and for all.
        again = ["run", "-r", "audit", "-j", "1", "--suite", fake, "--resume"]
        ran = self.gauntlet(*again, env={"GAUNTLET_FAKE": "1"})
        self.assertEqual(ran.code, 1, ran)
        self.assertEqual(ran.err.count("; it is run again\n"), 6, ran)
        run = support.Run(self.path("audit"))
        self.assertTrue(run.results["complete"])
        for test in tests:
            self.assertEqual(run.end(test)[0], "PASS" if not orders[test] else "compilation")
        resumed = [e for e in run.events() if e["event"] == "run-resume"]
        self.assertEqual(sorted(resumed[0]["again"]), sorted(set(tests) - {"fine"}))
        ran = self.gauntlet(*again, env={"GAUNTLET_FAKE": "1"})
        self.assertEqual((ran.code, ran.err), (1, ""), ran)

    def test_audit_of_a_run_that_is_stopped(self):
        """Also what ended before an interruption, or before enough had failed, has to be backed."""
        for name, flags, code in (("most", ["--max-failures", "1"], 6), ("stopped", [], -signal.SIGINT)):
            with self.subTest(name):
                gate = self.path(f"{name}.gate")
                fake = write_text(self.path(f"{name}.fake"), json.dumps(
                    {"a": {}, "b": {"setup": f"until:{gate}+exit:1"}, "c": {}, "d": {}}))
                command = ["run", "-r", name, "-j", "1", "--suite", fake]
                runner = subprocess.Popen(
                    [support.BINARY, *command, *flags], cwd=self.here,
                    env=support.environment(GAUNTLET_FAKE="1"), stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.addCleanup(runner.wait)
                self.addCleanup(runner.kill)
                support.wait_for(lambda n=name: any(
                    b'"stage-start","test":"b"' in line
                    for line in support.journal(self.path(n))), runner)
                shutil.rmtree(self.path(name, "a"))
                if not flags:
                    runner.send_signal(signal.SIGINT)
                self.open(f"{name}.gate")
                out, err = runner.communicate(timeout=support.PATIENCE)
                self.assertEqual(runner.returncode, code, (out, err))
                self.assertRegex(err, r"(?m)^gauntlet: audit: 'a' ended as PASS, but [^\n]*; --resume "
                                 r"runs it again$")
                self.assertIn("INCOMPLETE", out)
                self.assertEqual(self.gauntlet("report", name).code, 6)
                ran = self.gauntlet(*command, "--resume", env={"GAUNTLET_FAKE": "1"})
                self.assertEqual(ran.code, 1, ran)
                run = support.Run(self.path(name))
                self.assertEqual([run.end(t)[0] for t in "abcd"], ["PASS", "setup", "PASS", "PASS"])

    def test_audit_of_what_is_kept(self):
        """What a test leaves without artifacts is enough, also when the run goes on with them."""
        fake = write_text(self.path("kept.fake"), json.dumps(
            {"a": {}, "b": {"compiled_inference": "wrong"}, "c": {"preprocessing": "error:no"},
             "d": {"setup": "1*error"}}))
        flags, env = ["--suite", fake, "--no-artifacts"], {"GAUNTLET_FAKE": "1"}
        self.run_tests("kept", *flags, "--max-failures", "3", "-j", "1", code=1, env=env)
        self.assertFalse(os.path.exists(self.path("kept", "a", "compiled_model.vmfb")))
        _, run = self.run_tests("kept", *flags[:2], "--resume", code=1, env=env)
        self.assertTrue(run.results["complete"])
        os.remove(self.path("kept", "a", "output.json"))
        ran = self.gauntlet("run", "-r", "kept", *flags[:2], "--resume", env=env)
        self.assertEqual(ran.code, 1, ran)
        self.assertIn("/a/output.json' that compiled_inference left is not there; it is run again",
                      ran.err)
        self.assertTrue(os.path.exists(self.path("kept", "a", "output.json")))

    def test_records_of_somebody_else(self):
        self.copy()
        path = self.path("r", "plain", "stages.json")
        whole = support.read_json(path)
        secret = write_text(self.path("secret"), "secret")
        for name in ("../../secret", secret, "data_set_1/../../../secret"):
            record = json.loads(json.dumps(whole))
            record["stages"]["compiled_inference"]["files"].append(
                {"name": name, "bytes": 6, "hash": support.hash_bytes(b"secret")})
            support.seal(path, record)
            for trust in ([], ["--trust"]):
                self.refused("stage", *trust, "comparison", "r/plain",
                             says=["stages.json", "the record of compiled_inference"])
        shutil.copy(self.path("whole", "wrong", "stages.json"), path)
        self.refused("stage", "comparison", "r/plain", says=["of test 'plain'", "of 'wrong'"])

    def test_links(self):
        """They are read through, if the content is right, and never written through."""
        self.copy()
        outside = self.path("outside")
        os.mkdir(outside)
        for name in ("output.0.bin", "stages.json", "comparison.json"):
            path = self.path("r", "plain", name)
            shutil.move(path, outside)
            os.symlink(os.path.join(outside, name), path)
        before = {n: os.stat(os.path.join(outside, n)).st_mtime_ns for n in os.listdir(outside)}
        self.assertEqual(self.gauntlet("stage", "comparison", "r/plain").code, 0)
        self.assertEqual(self.gauntlet("stage", "compiled_inference", "r/plain").code, 0)
        shutil.rmtree(self.path("r", "plain", "data_set_1"))
        os.symlink(outside, self.path("r", "plain", "data_set_1"))
        ran = self.gauntlet("stage", "construct_inputs", "r/plain")
        self.assertEqual(ran.code, 1, ran)
        self.assertIn("data_set_1' is a link", ran.out)
        after = {n: os.stat(os.path.join(outside, n)).st_mtime_ns for n in os.listdir(outside)}
        self.assertEqual(after, before)
        # A whole folder elsewhere: the run makes its own.
        shutil.rmtree(self.path("r", "plain"))
        os.symlink(outside, self.path("r", "plain"))
        _, run = self.run_tests("r", *self.flags, code=1)
        self.assertEqual(run.end("plain"), ("PASS", ""))
        self.assertFalse(os.path.islink(self.path("r", "plain")))
        self.assertEqual(sorted(os.listdir(outside)), sorted(before))


if __name__ == "__main__":
    unittest.main()
