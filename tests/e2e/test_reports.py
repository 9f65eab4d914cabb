"""What a run leaves for programs and people: journal, results, reports, expected statuses."""

import os
import subprocess
import unittest

import numpy as np

import support
from support import STAGES, read_json, read_text, unary, write_test, write_text

try:
    import jsonschema
except ImportError:
    jsonschema = None

X = np.array([[1, -2, 3], [4, 5, -6]], np.float32)
# Everything that is special to one of the formats.
ODD = "a|b <i>&amp; \"c\" 'd' `e` \\ \x1b[31m\n## f * _g_ \u202e\u200b é"


def validate(value, name):
    schema = read_json(os.path.join(support.ROOT, "docs", "schema", name))
    jsonschema.Draft202012Validator(schema).validate(value)


class Reports(support.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_test(cls.path("suite", "passes"), unary("Abs"), ([X], [abs(X)]))
        write_test(cls.path("suite", "differs"), unary("Abs"), ([X], [X]))
        write_test(cls.path("suite", "broken"), b"garbage")
        write_test(cls.path("suite", ODD), unary("NoSuchOperator"))
        # Its own text comes back in a message.
        write_test(cls.path("suite", "message"), unary("<b>|\x1b[31m\r\n# x"))
        cls.ran, cls.run_ = cls.run_tests("run", "--suite", "suite", "-d", "local-sync",
                                          "--report", code=1)

    def test_results(self):
        results = self.run_.results
        self.assertEqual(
            {name: test["status"] for name, test in self.run_.tests.items()},
            {"passes": "PASS", "differs": "Numerics", "broken": "setup", ODD: "import_model",
             "message": "import_model"})
        self.assertEqual(results["counts"]["by_verdict"],
                         {"PASS": 1, "XFAIL": 0, "XPASS": 0, "FAIL": 4, "NONE": 0})
        run = results["run"]
        self.assertEqual(run["argv"][:2], ["gauntlet", "run"])
        self.assertEqual(run["stages"], STAGES)
        self.assertEqual(run["options"]["device"], "local-sync")
        for tool in ("compiler", "runtime", "frontend"):
            self.assertTrue(run["tools"][tool]["version"], tool)

    def test_journal(self):
        events = self.run_.events()
        self.assertEqual([event["seq"] for event in events], list(range(len(events))))
        self.assertEqual((events[0]["event"], events[-1]["event"]), ("run-start", "run-end"))
        times = [event["t"] for event in events]
        self.assertEqual(times, sorted(times))
        ends = [event["test"] for event in events if event["event"] == "test-end"]
        self.assertEqual(sorted(ends), sorted(self.run_.tests))
        for event in events:
            if event["event"] == "stage-end":
                self.assertIsInstance(event["seconds"], float)
                self.assertEqual(event["ok"], not event["why"])

    @unittest.skipUnless(jsonschema, "the Python package jsonschema is not installed")
    def test_schemas(self):
        validate(self.run_.results, "results.schema.json")
        for event in self.run_.events():
            validate(event, "events.schema.json")

    def test_console(self):
        lines = self.ran.out.splitlines()
        failed = [line for line in lines if line.startswith("FAIL ")]
        self.assertEqual(len(failed), 4, self.ran.out)
        self.assertIn("5 tests in ", self.ran.out)
        self.assertIn("1 pass, 0 expected failures, 0 unexpected passes, 4 failures", self.ran.out)
        self.assertEqual(lines[-2:], [f"results  {self.path('run', 'results.json')}",
                                      f"journal  {self.path('run', 'events.jsonl')}"])
        self.assertNotIn("PASS   ", "\n".join(failed))
        for bad in ("\x1b", "\r", "\u202e"):
            self.assertNotIn(bad, self.ran.out)

    def test_markdown(self):
        text = read_text(self.path("report.md"))
        lines = text.splitlines()
        for heading in ("## Passing Summary", "## Fail Summary", "## Test Run Detail"):
            self.assertEqual(lines.count(heading), 1)
        self.assertIn("**TOTAL TESTS = 5**", lines)
        self.assertIn("| passes | PASS | None | |", lines)
        table = lines[lines.index("| Test | Exit Status | Mean Benchmark Time (ms) | Notes |") + 2:]
        self.assertEqual(len(table), 5)
        for row in table:  # an odd name breaks neither its row nor another
            self.assertEqual(row.replace("\\|", "").count("|"), 5, row)
            self.assertNotRegex(row, r"<(i|b)>|\x1b|\u202e")
        self.assertEqual([line for line in lines if line.startswith("#")],
                         ["## Passing Summary", "## Fail Summary", "## Test Run Detail"])

    def test_json_of_alt_e2eshark(self):
        report = read_json(self.path("report.json"))
        self.assertEqual(report, {name: {"exit_status": test["status"], "time_ms": None}
                                  for name, test in self.run_.tests.items()})
        self.assertEqual(list(report), sorted(report))

    def test_report_again(self):
        """Every report is a function of the journal alone."""
        kept = {name: read_text(self.path(name)) for name in ("report.md", "report.json")}
        kept["run/results.json"] = read_text(self.path("run", "results.json"))
        for name in kept:
            os.unlink(self.path(name))
        ran = self.gauntlet("report", "run", "--report")
        self.assertEqual((ran.code, ran.err), (1, ""), ran)
        self.assertEqual({name: read_text(self.path(name)) for name in kept}, kept)
        self.assertEqual(ran.out, self.ran.out[self.ran.out.index("\nStatus"):])

    def test_report_elsewhere(self):
        os.makedirs(self.path("deep"))
        ran = self.gauntlet("report", "../run/", "--report-file", "my.summary.md",
                            cwd=self.path("deep"))
        self.assertEqual(ran.code, 1, ran)
        self.assertEqual(sorted(os.listdir(self.path("deep"))),
                         ["my.summary.json", "my.summary.md"])
        ran = self.gauntlet("report", "run", "--report-file", "deep")
        self.assertEqual(ran.code, 2, ran)

    def test_closed_output(self):
        """A reader that goes away (| head) is no reason to fail or to lose results."""
        process = subprocess.Popen([support.BINARY, "report", "run"], cwd=self.here,
                                   env=support.environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdout.close()
        error = process.stderr.read()
        process.stderr.close()
        self.assertEqual((process.wait(timeout=30), error), (1, b""))


class Expected(support.TestCase):
    """PASS, XFAIL, XPASS, FAIL, from nothing but setup: quick."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make("good")
        cls.make("good_too")
        for name in ("bad", "bad_too", "odd name %#"):
            write_test(cls.path("suite", name), b"garbage")

    @classmethod
    def make(cls, name):
        write_test(cls.path("suite", name), unary("Abs"))

    def go(self, text, *flags, code, **options):
        if text is not None:
            write_text(self.path("e.expect"), text)
        return self.run_tests("run", "--suite", "suite", "--stages", "setup", "import_model",
                              "--expect", "e.expect", *flags, code=code, **options)

    def test_verdicts(self):
        ran, run = self.go("# some\nbad setup known\nbad_too setup:timeout\n"
                           "good import_model # not so\nodd%20name%20%25%23 setup:error x\n"
                           "not_here PASS\n", "-v", code=1)
        self.assertEqual({name: test["verdict"] for name, test in run.tests.items()},
                         {"good": "XPASS", "good_too": "PASS", "bad": "XFAIL", "bad_too": "FAIL",
                          "odd name %#": "XFAIL"})
        self.assertEqual((run["bad"]["expected"], run["bad"]["reason"]), ("setup", "known"))
        self.assertIn("1 pass, 2 expected failures, 1 unexpected pass, 1 failure", ran.out)
        for words in (r"(?m)^XFAIL +setup +bad ", r"(?m)^XPASS +PASS +good ",
                      r"(?m)^FAIL +setup +bad_too  expected setup:timeout", r"(?m)^PASS .* good_too"):
            self.assertRegex(ran.out, words)

    def test_all_as_expected(self):
        text = "bad setup\nbad_too setup\nodd%20name%20%25%23 setup\n"
        ran, run = self.go(text, code=0)
        self.assertNotIn("Differences", ran.out)
        self.assertEqual(read_text(self.path("e.expect")), text)

    def test_none(self):
        ran, run = self.run_tests("run", "--suite", "suite", "--stages", "setup", "--expect",
                                  "none", code=1)
        self.assertEqual(run.results["counts"]["by_verdict"]["FAIL"], 3)

    def test_update(self):
        """What happened is written, what people wrote stays, and the next run has no complaint."""
        os.path.exists(self.path("e.expect")) and os.unlink(self.path("e.expect"))
        _, run = self.run_tests("run", "--suite", "suite", "--expect", "e.expect",
                                "--update-expect", "bad", "good", code=0)
        lines = read_text(self.path("e.expect")).splitlines()
        self.assertEqual([line.split()[:2] for line in lines if not line.startswith("#")],
                         [["bad", "setup"]])
        ran = self.gauntlet("run", "-r", "run", "--suite", "suite", "--expect", "e.expect", "bad",
                            "good")
        self.assertEqual(ran.code, 0, ran)
        write_text(self.path("e.expect"), "# mine\n\nother PASS keep\nbad compilation wrong\n"
                                          "good setup wrong\n")
        self.run_tests("run", "--suite", "suite", "--expect", "e.expect", "--update-expect",
                       "bad", "good", code=0)
        text = read_text(self.path("e.expect"))
        self.assertTrue(text.startswith("# mine\n\nother PASS keep\nbad setup "), text)
        self.assertIn("\ngood PASS", text)  # this file lists what passes

    def test_no_update_from_a_run_that_is_incomplete(self):
        text = "good setup\nbad compilation\n"
        write_text(self.path("e.expect"), text)
        ran = self.gauntlet("run", "-r", "some", "--suite", "suite", "--expect", "e.expect", "-j", "1",
                            "--update-expect", "--max-failures", "1", "bad", "good")
        self.assertEqual(ran.code, 1, ran)
        self.assertEqual(ran.err, "gauntlet: flag '--update-expect': 'e.expect' stays as it is, as the "
                                  "run is incomplete\n")
        self.assertEqual(read_text(self.path("e.expect")), text)

    def test_an_update_changes_what_the_run_was_begun_with(self):
        text = "good setup\n"
        write_text(self.path("e.expect"), text)
        flags = ["run", "-r", "updated", "--suite", "suite", "--expect", "e.expect", "bad", "good"]
        self.assertEqual(self.gauntlet(*flags, "--update-expect").code, 0)
        for more in ("--resume", "--rerun-failed"):
            err = self.refused(*flags, more, lines=2, says=[
                "'e.expect' has been changed since the run was begun", "test 'bad'",
                "expected to end as setup", "where it was PASS"])
            self.assertIn("begin anew", err)
            self.assertNotIn("say what the run was begun with", err)

    def test_update_learns_nothing_from_half_a_test(self):
        text = "good import_model\n"
        self.go(text, "--update-expect", "good", code=0)
        self.assertEqual(read_text(self.path("e.expect")), text)

    def test_shipped_file(self):
        """It is used for the suite whose name it has, and only then."""
        os.makedirs(self.path("share"), exist_ok=True)
        write_text(self.path("share", "onnx-node.expect"), "test_abs setup\n")
        env = {"GAUNTLET_SHARE": self.path("share")}
        flags = ["test_abs", "--stages", "setup", "-r", "node", "--suite"]
        ran = self.gauntlet("run", *flags, "onnx-node", env=env)
        self.assertEqual(ran.code, 1, ran)
        self.assertIn("XPASS", ran.out)
        ran = self.gauntlet("run", *flags, os.path.join(support.NODE_TESTS, "test_abs"), env=env)
        self.assertEqual(ran.code, 0, ran)
        ran = self.gauntlet("run", *flags, "onnx-node", "--expect", "none", env=env)
        self.assertEqual(ran.code, 0, ran)


if __name__ == "__main__":
    unittest.main()
