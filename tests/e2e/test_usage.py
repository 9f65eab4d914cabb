"""Help, and what a command line that makes no sense is told: one clear line and its exit code."""

import json
import os
import subprocess
import unittest

import support
from support import STAGES, write_text

COMMANDS = ["run", "list", "stage", "report", "doctor"]


class Help(support.TestCase):
    def test_program(self):
        for words in (["--help"], ["-h"], ["help"]):
            ran = self.gauntlet(*words)
            self.assertEqual((ran.code, ran.err), (0, ""), ran)
            for command in COMMANDS:
                self.assertIn(f"\n  {command} ", ran.out)
            self.assertNotIn("\n  host ", ran.out)  # the runner's own business
        ran = self.gauntlet()
        self.assertEqual((ran.code, ran.out), (2, ""), ran)
        self.assertIn("usage: gauntlet COMMAND", ran.err)
        self.assertRegex(self.gauntlet("--version").out, r"\Agauntlet \d+\.\d+\.\d+\n\Z")

    def test_commands(self):
        for command in COMMANDS:
            ran = self.gauntlet(command, "--help")
            self.assertEqual((ran.code, ran.err), (0, ""), ran)
            self.assertTrue(ran.out.startswith(f"usage: gauntlet {command}"), ran.out)
            self.assertEqual(self.gauntlet(command, "-h").out, ran.out)
            for line in ran.out.splitlines():
                self.assertLessEqual(len(line), 80, line)
        self.assertIn("usage: gauntlet stage [flags] NAME FOLDER\n",
                      self.gauntlet("stage", "-h").out)

    def test_every_flag_is_explained(self):
        text = self.gauntlet("run", "--help").out
        for flag in ("--suite", "-t, --test-filter", "--testsfile", "-m, --mode", "-b, --backend",
                     "-d, --device", "-a, --iree-compile-args", "--torchtolinalg", "--stages",
                     "--skip-stages", "--load-inputs", "--dim", "--seed", "--reference",
                     "--tolerance", "--nan", "--timeout", "-j, --jobs", "-r, --rundirectory",
                     "--no-artifacts", "--expect", "--update-expect", "--report",
                     "--report-file", "--color", "-v, --verbose"):
            self.assertIn(flag, text)

    def test_help_comes_before_a_mistake(self):
        ran = self.gauntlet("run", "--help", "--no-such-flag")
        self.assertEqual(ran.code, 0, ran)

    def test_help_writes_nothing(self):
        self.gauntlet("run", "--help", "-r", "never")
        self.assertFalse(os.path.exists(self.path("never")))


class Variables(support.TestCase):
    """A variable that says what hosts may use, and means nothing, is refused before anything begins."""

    WRONG = {"GAUNTLET_ISOLATION": "bogus", "GAUNTLET_MEMORY": "cgroupv1"}

    def test_run_and_list(self):
        for name, value in self.WRONG.items():
            for command in (["run", "-r", "never", "test_abs"], ["list", "test_abs"]):
                self.refused(*command, env={name: value}, says=[f"{name} is '{value}'", "none of "])
            self.assertFalse(os.path.exists(self.path("never")))
            ran = self.gauntlet("list", "test_abs", env={name: ""})  # empty: not set
            self.assertEqual((ran.code, ran.err), (0, ""), ran)

    def test_doctor(self):
        ran = self.gauntlet("doctor", env=self.WRONG)
        self.assertEqual(ran.code, 2, ran)
        for name, value in self.WRONG.items():
            self.assertRegex(ran.out, rf"PROBLEM: {name} is '{value}', none of ")


class Many(support.TestCase):
    """More at once than this machine's limits or a socket's room have place for."""

    def run_many(self, folder, command, code=0):
        tests = write_text(self.path("many.fake"), json.dumps({f"t{i}": {} for i in range(600)}))
        ran = subprocess.run(
            ["sh", "-c", f"{command}; exec \"$@\"", "sh", support.BINARY, "run", "-r", folder, "-j",
             "512", "--stages", "setup", "--suite", tests], cwd=self.here, capture_output=True,
            env=support.environment(GAUNTLET_FAKE="1"), text=True, timeout=120)
        self.assertEqual(ran.returncode, code, ran)
        run = support.Run(self.path(folder))
        self.assertEqual(run.results["counts"]["by_status"]["PASS"], 600, ran)
        return ran, run

    def test_jobs(self):
        ran, run = self.run_many("jobs", "ulimit -n $(ulimit -H -n)")
        self.assertEqual(ran.stderr, "")
        self.assertEqual(run.results["run"]["jobs"], 512)
        starts = [e for e in run.events() if e["event"] == "stage-start"]
        self.assertEqual(len(starts), 600)  # none had to be tried again

    def test_few_descriptors(self):
        ran, run = self.run_many("descriptors", "ulimit -n 128")
        self.assertEqual(ran.stderr, "gauntlet: 9 tests at once, not 512: the limit of open files "
                                     "(ulimit -n) is too low\n")
        self.assertEqual(run.results["run"]["jobs"], 9)


class Refusals(support.TestCase):
    """None of these may reach the run directory."""

    def tearDown(self):
        self.assertFalse(os.path.exists(self.path("test-run")))

    def run_refused(self, *arguments, says, code=2):
        return self.refused("run", *arguments, says=says, code=code)

    def test_commands_and_flags(self):
        self.refused("rum", says="no command 'rum'")
        self.run_refused("--test-filer", "x", says="did you mean '--test-filter'?")
        self.run_refused("--qqqqqqqqqqqq", says="'gauntlet run --help'")
        self.run_refused("-q", says="unknown flag '-q'")
        self.run_refused("-report", says="did you mean '--report'?")
        self.run_refused("-t", says=["'--test-filter' needs a value", "REGEX"])
        self.run_refused("-r", "--report", says="'--rundirectory' needs a value")
        self.run_refused("--report=yes", says="'--report' takes no value")
        self.refused("list", "--jobs", "2", says="unknown flag '--jobs'")

    def test_name_of_nothing(self):
        write_text(self.path("odd.fake"), json.dumps({"": {}}))
        self.refused("run", "-r", "never", "--suite", "odd.fake", env={"GAUNTLET_FAKE": "1"},
                     says="odd.fake' has a test without a name")
        self.assertFalse(os.path.exists(self.path("never")))

    def test_values(self):
        for arguments, says in (
                (["-j", "0"], "'--jobs': 0 is not between 1 and"),
                (["-j", "two"], "'--jobs': 'two' is not an integer"),
                (["-j", "99999999999999999999"], "'--jobs'"),
                (["-m", "ort"], "'ort' is not onnx-iree"),
                (["-d", "cuda"], "none of local-task, local-sync, vulkan"),
                (["-b", "llvm-cpy"], "did you mean 'llvm-cpu'?"),
                (["--stages", "compilatoin"], "did you mean 'compilation'?"),
                (["--stages"], "'--stages' needs at least one stage"),
                (["--skip-stages", "everything"], STAGES),
                (["--skip-stages", *STAGES], "leaves no stage to run"),
                (["--stages", "setup", "test_abs"], "put '--' behind the last value of '--stages'"),
                (["--timeout", "soon"], "'soon' is not a duration such as 30"),
                (["--timeout", "0"], "a limit of 0"),
                (["--timeout", "-5"], "'--timeout'"),
                (["--memory", "1"], "'--memory': '1' is less than any job needs; give it 1M or more"),
                (["--timeout", "nothing=3"], "'nothing' is none of setup"),
                (["--timeout", "setup="], "'setup=' has not the form"),
                (["--timeout", "inf"], "'inf' is not a duration"),
                (["--dim", "N"], "'N' has not the form NAME=VALUE"),
                (["--dim", "N=-1"], "-1 is not between 0 and"),
                (["--dim", "N=2.5"], "'2.5' is not an integer"),
                (["--dim", "=2"], "'=2' has not the form"),
                (["--tolerance"], "one or two numbers, not 0"),
                (["--tolerance", "1", "2", "3"], "one or two numbers, not 3"),
                (["--tolerance", "nan"], "'nan' is not a number"),
                (["--tolerance", "-1"], "-1 is negative"),
                (["--tolerance", "1e-3", "test_abs"], "put '--' behind the last value"),
                (["--nan", "sometimes"], "none of equal, fail"),
                (["--reference", "numpy"], "none of ort, stored"),
                (["--seed", "-1"], "-1 is not between 0 and"),
        ):
            with self.subTest(arguments):
                self.run_refused(*arguments, says=says)

    def test_tests_and_suites(self):
        self.run_refused("test_absolute", says="there is no test 'test_absolute'")
        self.run_refused("test_ab", says="did you mean 'test_abs'?")
        self.run_refused("test_abs", "nope", "nada", says=["no test 'nada'", "1 more name"])
        self.run_refused("-t", "nothing_is_called_so", code=4,
                         says=["none of ", "the filter 'nothing_is_called_so'"])
        self.run_refused("test_abs", "test_add", "-t", "test_ab$", code=4, says=[
            " tests is called 'test_abs' or 'test_add' and matches the filter 'test_ab$'\n"])
        self.run_refused("test_abs", *(f"test_{n}" for n in ("acos", "add", "and2d", "asin")), "-t", "x",
                         code=4, says="'test_abs', 'test_acos', 'test_add' or one of 2 more names and")
        self.run_refused("-t", "_abs", code=4, says="filter '_abs'")  # from the start of a name
        self.run_refused("-t", "(", says=["'('", "missing closing parenthesis"])
        self.run_refused("--suite", "onnx-nodes", says=["no suite", "'onnx-nodes'", "default, onnx-node,",
                                                     "onnx-light"])
        self.run_refused("--suite", "", says="no suite")
        self.run_refused("--suite", "onnx-light", "test_abs", says="no test 'test_abs'")
        empty = self.path("empty")
        os.mkdir(empty)
        self.run_refused("--suite", empty, says=["no test in folder", "model.onnx"])
        text = support.write_text(self.path("readme.txt"), "hello")
        self.run_refused("--suite", text, says="neither a folder nor an .onnx or .py file")
        python = support.write_text(self.path("none.py"), "x = 1\n")
        self.run_refused("--suite", python, says=["none.py", "registers no test"])

    def test_python_files_that_cannot_be_loaded(self):
        """The line is named, and what was printed on the way is shown, harmless and not without end."""
        os.mkdir(self.path("python"))
        write_text(self.path("python", "helper.py"), "\n\nraise ValueError('unfit')")
        for text, message, shown in (
                ("\n\nx = foo", "t.py:3: NameError: name 'foo' is not defined", "    x = foo"),
                ("\ndef", "t.py:2: SyntaxError: invalid syntax", "    def"),
                ("\nimport helper", "helper.py:3: ValueError: unfit", "t.py\", line 2, in <module>"),
                ("import os\nos.abort()", "the Python frontend crashed: SIGABRT", "t.py\", line 2 in <module>"),
                ("print('\\x1b[2J' * 3, flush=True)\nimport os\nos._exit(0)", "ended with exit code 0",
                 "\\x1B[2J" * 3),
                ("print('much\\n' * 100000, end='')\nassert False", "t.py:2: AssertionError", "...\nmuch\n")):
            with self.subTest(text):
                path = write_text(self.path("python", "t.py"), text)
                for command in ("run", "list"):
                    ran = self.gauntlet(command, "--suite", path)
                    self.assertEqual((ran.code, ran.out), (2, ""), ran)
                    *before, last = ran.err.splitlines()
                    self.assertTrue(last.startswith(f"gauntlet: cannot list the tests of '{path}': "), ran)
                    self.assertIn(message, last)
                    self.assertIn(shown, ran.err)
                    self.assertNotIn("\x1b", ran.err)
                    self.assertLess(len(ran.err), 10000)
                    self.assertLess(ran.err.count(message.rpartition(": ")[2]), 4, ran)

    def test_files(self):
        self.run_refused("--testsfile", "missing", says=["file of tests", "'missing'"])
        empty = support.write_text(self.path("nobody.txt"), "# nobody\n")
        self.run_refused("--testsfile", empty, code=4, says="names no test")
        wrong = support.write_text(self.path("wrong.txt"), "test_abs test_nope")
        self.run_refused("--testsfile", wrong, says=["wrong.txt", "no test 'test_nope'"])
        self.run_refused("--expect", "missing", "test_abs", says=["'--expect'", "'missing'"])
        for text, says in (("test_abs BAD\n", ["line 1", "'BAD' is no status"]),
                           ("\ntest_abs\n", "line 2: no status follows 'test_abs'"),
                           ("a PASS\na PASS\n", "line 2: test 'a' has a line already, line 1")):
            path = support.write_text(self.path("bad.expect"), text)
            self.run_refused("--expect", path, "test_abs", says=says)
        self.run_refused("--update-expect", "test_abs", says="name one with --expect FILE")
        self.run_refused("--update-expect", "--expect", "none", "test_abs",
                         says=["--expect none switches", "leave that away"])
        self.run_refused("--update-expect", "--expect", "nowhere/x", "test_abs",
                         says=["'--expect'", "no folder 'nowhere/'"])

    def test_report_files(self):
        """Found before a run of hours, not after it."""
        self.run_refused("--report-file", "nowhere/r.md", "test_abs",
                         says=["'--report-file'", "no folder 'nowhere/'"])
        self.run_refused("--report-file", "r.json", "test_abs", says="end it in .md")
        self.run_refused("--report-file", self.here + "/", "test_abs",
                         says="not the name of a file")
        self.run_refused("--report-file", self.here, "test_abs", says="not a regular file")
        pipe = self.path("pipe")
        os.mkfifo(pipe)
        self.run_refused("--report-file", pipe, "test_abs", says="not a regular file")
        self.run_refused("--update-expect", "--expect", pipe, "test_abs",
                         says="not a regular file")
        os.symlink("/dev/null", self.path("link.md"))
        self.run_refused("--report-file", "link.md", "test_abs", says="not a regular file")
        self.assertTrue(os.path.islink(self.path("link.md")))

    def test_compiler_flags(self):
        for flag in ("no-such-flag", "--no-such-flag=3", "-no-such-flag"):
            error = self.run_refused(f"-a={flag}", "--", "test_abs",
                                     says=["'--iree-compile-args'", "no-such-flag"])
            self.assertNotIn("gauntlet --help", error)
            self.assertRegex(error, r"[^.\s]\n\Z")
        self.run_refused("-a", "iree-opt-level=O9", "--", "test_abs", says="O9")
        self.run_refused("-a", "--iree-opt-level=O2", "--", "test_abs",
                         says="write '--iree-compile-args=--iree-opt-level=O2'")

    def test_run_directory(self):
        for folder in (self.here, os.path.dirname(support.NODE_TESTS)):
            self.run_refused("-r", folder, "test_abs", says=["is not empty", "-r"])
        self.run_refused("-r", "/dev/null", "test_abs", says=["'--rundirectory'", "/dev/null"])
        self.run_refused("-r", "/proc/nothing", "test_abs", says="/proc/nothing")
        self.run_refused("-r", "", "test_abs", says="'--rundirectory' needs")
        # What is refused leaves nothing behind.
        for name, flags in ((b"a\xff", ["--resume"]), ("new", ["--rerun-failed"])):
            ran = subprocess.run([support.BINARY, "run", "-r", name, *flags, "test_abs"], cwd=self.here,
                                 env=support.environment(), capture_output=True)
            self.assertEqual(ran.returncode, 2, ran)
            self.assertIn(b"-r\n", ran.stderr)
            self.assertFalse(os.path.lexists(os.path.join(os.fsencode(self.here), os.fsencode(name))))

    def test_other_commands(self):
        self.refused("list", "-t", "nothing_is_called_so", says="none of", code=4)
        self.refused("list", "nope", says="no test 'nope'")
        self.refused("stage", "compilation", says="needs 2 arguments")
        self.refused("stage", "compile", self.here, says=["no stage 'compile'", *STAGES])
        self.refused("stage", "setup", self.here, says=[self.here, "test.json"])
        self.refused("stage", "setup", "a", "b", says="unexpected argument 'b'")
        file = write_text(self.path("a-file"), "x")
        for folder in (file, "nowhere", file + "/x"):
            self.refused("stage", "setup", folder, says="is not the folder of a test in a run directory")
        self.refused("report", says="needs 1 argument (FOLDER)")
        self.refused("report", "nowhere", says=["'nowhere' is no run directory", "events.jsonl"])
        self.refused("doctor", "me", says="unexpected argument 'me'")

    def test_what_comes_from_outside_is_made_harmless(self):
        error = self.run_refused("a\x1b[31mb\nc", says="no test 'a")
        self.assertNotIn("\x1b", error)


class Bare(support.TestCase):
    def test_without_a_default_suite(self):
        self.refused("run", says="default.expect", env={"GAUNTLET_SHARE": self.here})

    def test_missing_tools(self):
        for name, says in (("GAUNTLET_IREE_COMPILER", "libIREECompiler.so"),
                           ("GAUNTLET_WORKER", "libgauntlet_worker.so"),
                           ("GAUNTLET_PYTHON", "ython")):
            with self.subTest(name):
                self.refused("run", "test_abs", says=says, env={name: "/nonexistent/x"})


if __name__ == "__main__":
    unittest.main()
