"""Going on with a run that ended early: the statuses of an undisturbed one, or a refusal that says why."""

import contextlib
import fcntl
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import time
import unittest

import numpy as np
from onnx import TensorProto, numpy_helper

import support
from support import BINARY, NODE_TESTS, Run, TestCase, environment, read_json, unary, write_text

FAKE = {"GAUNTLET_FAKE": "1"}
SUITE = """{
  "passes": {}, "slow": {"compilation": "sleep:200"}, "errs": {"import_model": "error"},
  "crashes": {"compilation": "signal:SEGV"}, "differs": {"compiled_inference": "wrong"},
  "late": {"postprocessing": "error"}, "changes": {"native_inference": "1*error"},
  "slower": {"setup": "sleep:200"}, "held": {"setup": "until:GATE"}, "last": {}
}"""
LIMITS = ["--timeout", "60"]
FLAGS = ["--suite", "x.fake", "-j", "2", *LIMITS, "--retries", "error=1"]


def endings(run):
    """What must not depend on how often a run was disturbed."""
    members = ("status", "why", "stage", "message", "verdict", "vacuous", "flaky")
    return {name: tuple(test[m] for m in members) for name, test in run.tests.items()}


lines = support.journal


class Resume(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_text(cls.path("x.fake"), SUITE.replace("GATE", cls.path("gate")))
        write_text(cls.path("gate"), "")
        ran, cls.whole = cls.fake("whole", code=1)
        cls.endings = endings(cls.whole)
        assert cls.whole.results["complete"], ran

    @classmethod
    def fake(cls, folder, *more, code=None, flags=FLAGS):
        return cls.run_tests(folder, *flags, *more, code=code, env=FAKE)

    def same(self, run):
        self.assertTrue(run.results["complete"])
        self.assertEqual(endings(run), self.endings)

    def start(self, folder, *more):
        process = subprocess.Popen(
            [BINARY, "run", "-r", folder, *FLAGS, *more], cwd=self.here, env=environment(**FAKE),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def wait_for(self, folder, event, process):
        support.wait_for(lambda: any(event in line for line in lines(self.path(folder))), process)

    @contextlib.contextmanager
    def held(self):
        """In here a run does not end by itself: one of its tests waits."""
        os.remove(self.path("gate"))
        try:
            yield
        finally:
            self.open("gate")

    def test_the_suite_has_all_kinds(self):
        statuses = {name: end[:2] for name, end in self.endings.items()}
        self.assertEqual(statuses, {
            "passes": ("PASS", ""), "slow": ("PASS", ""), "errs": ("import_model", "error"),
            "crashes": ("compilation", "crash:SIGSEGV"), "differs": ("Numerics", "value"),
            "late": ("postprocessing", "error"), "changes": ("PASS", ""), "slower": ("PASS", ""),
            "held": ("PASS", ""), "last": ("PASS", "")})
        self.assertTrue(self.whole["changes"]["flaky"])

    def test_killed_again_and_again(self):
        """kill -9 of the runner at six moments of one run."""
        random.seed(7)
        with self.held():
            for round_ in range(6):
                process = self.start("killed", "--resume")
                if round_ == 0:
                    self.wait_for("killed", b'"stage-end"', process)
                time.sleep(random.uniform(0.05, 0.6))
                self.assertIsNone(process.poll())
                process.kill()
                process.wait()
        ran, run = self.fake("killed", "--resume", code=1)
        self.same(run)
        self.assertGreater(len(run.results["run"]["resumed"]), 0)
        self.assertIn("taken up again", ran.out)

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                shutil.rmtree(self.path("interrupted"), ignore_errors=True)
                with self.held():
                    process = self.start("interrupted")
                    self.wait_for("interrupted", b'"test-end"', process)
                    support.send(process, number)
                self.assertEqual(process.wait(support.PATIENCE), -number)
                self.assertFalse(Run(self.path("interrupted")).results["complete"])
                ran, run = self.fake("interrupted", "--resume", code=1)
                self.same(run)
                self.assertIn("tests are still to be run", ran.out)

    def test_max_failures(self):
        """Each time so many more; in the end all are there."""
        self.fake("some", "--max-failures", "1", code=1)
        run = Run(self.path("some"))
        self.assertFalse(run.results["complete"])
        for _ in range(10):
            if run.results["complete"]:
                break
            run = self.fake("some", "--max-failures", "1", "--resume")[1]
        self.same(run)
        self.assertGreater(len(run.results["run"]["resumed"]), 1)

    def test_journal_cut_anywhere(self):
        """Whatever of the journal reached the disk, whatever lies in the folders of the tests."""
        whole = b"".join(lines(self.path("whole")))
        random.seed(11)
        cuts = [0, 1, len(whole) - 1] + [random.randrange(len(whole)) for _ in range(7)]
        for cut in cuts:
            with self.subTest(cut=cut):
                shutil.rmtree(self.path("cut"), ignore_errors=True)
                shutil.copytree(self.path("whole"), self.path("cut"))
                with open(self.path("cut", "events.jsonl"), "r+b") as f:
                    f.truncate(cut)
                self.same(self.fake("cut", "--resume", code=1)[1])
                events = Run(self.path("cut")).events()
                self.assertEqual([e["seq"] for e in events], list(range(len(events))))
                times = [e["t"] for e in events]
                self.assertEqual(times, sorted(times))

    def test_nothing_left(self):
        shutil.copytree(self.path("whole"), self.path("done"))
        before = lines(self.path("done"))
        ran, run = self.fake("done", "--resume", code=1)
        self.same(run)
        self.assertEqual(lines(self.path("done")), before)
        self.assertIn("failures", ran.out)

    def test_nothing_begun(self):
        ran, run = self.fake("new", "--resume", code=1)
        self.assertIn("holds no run that has begun", ran.err)
        self.same(run)
        self.refused("run", "-r", "newer", *FLAGS, "--rerun-failed", env=FAKE,
                     says=["--rerun-failed", "no run has begun"])

    def test_refused(self):
        """Another run is not the one that was begun; and what was recorded stays."""
        shutil.copytree(self.path("whole"), self.path("other"))
        before = lines(self.path("other"))
        report = read_json(self.path("other", "results.json"))
        write_text(self.path("y.fake"), '{"a new one": {}}')
        os.utime(write_text(self.path("expected"), "late  postprocessing  # known\n"), (0, 0))
        base = ["run", "-r", "other", "--resume", "-j", "2", *LIMITS]
        same = ["--suite", "x.fake", "--retries", "error=1"]
        for more, says in (
                (["--suite", "x.fake"], ["limits.retries.error", "1 where this one says 0"]),
                (same + ["--timeout", "2"], ["limits.seconds.setup", "60.0", "2.0"]),
                (same + ["--memory", "1G"], ["limits.memory", "0 where", "1073741824"]),
                (same + ["--leak=fail"], ["limits.leak_fails", "false", "true"]),
                (same + ["--seed", "3"], ["options.seed", "0 where this one says 3"]),
                (same + ["--tolerance", "0.5"], ["options.atol"]),
                (same + ["--skip-stages", "setup"], ["stages", "setup import_model"]),
                (same + ["-t", "passes"], ["'changes' was part of the run and is not selected"]),
                (same + ["-t", "[a-k]"], ["the run has 10 tests and"]),
                (["--suite", "y.fake", "--retries", "error=1"], ["'a new one' was not part of the run"]),
                (same + ["--expect", "expected"], ["'late' is expected to end as postprocessing",
                                                   "begun with PASS"])):
            with self.subTest(more):
                error = self.refused(*base, *more, says=says, env=FAKE, lines=2)
                self.assertTrue(error.endswith(
                    "gauntlet: what the run was begun with, and --resume: gauntlet run --resume -r whole "
                    "--suite x.fake -j 2 --timeout 60 --retries error=1\n"), error)
                self.assertEqual(lines(self.path("other")), before)
                self.assertEqual(read_json(self.path("other", "results.json")), report)

    def test_the_line_to_repeat(self):
        """Whatever the words are and however many: pasted into a shell it goes on with the run."""
        suite = os.fsencode(self.path("q; touch pwned;'\n$(touch pwned)\\%s\u202e")) + b"\xff"
        os.mkdir(suite)
        write_text(suite + b"/q.fake", json.dumps({f"t {n}": {} for n in range(400)}))
        words = ["-r", b"q'`touch pwned`", "--suite", suite + b"/q.fake", "--stages", "setup", "--",
                 *(f"t {n}" for n in range(400))]
        run = [BINARY, "run", *words]
        done = subprocess.run(run, cwd=self.here, env=environment(**FAKE), capture_output=True)
        self.assertEqual(done.returncode, 0, done)
        for more in ([run[0], "run", "--resume", *words[:-1]],
                     [run[0], "run", "--resume", "--seed", "1", *words],
                     [run[0], "run", "--rerun-failed", "--timeout", "3", *words]):
            done = subprocess.run(more, cwd=self.here, env=environment(**FAKE), capture_output=True)
            self.assertEqual(done.returncode, 2, done)
            line = done.stderr.decode().splitlines()[-1]
            self.assertGreater(len(line), 2000)
            self.assertIn(more[2], line)
            command = line.partition(": gauntlet ")[2]
            done = subprocess.run(["sh", "-c", f"{shlex.quote(BINARY)} {command}"], cwd=self.here,
                                  env=environment(**FAKE), capture_output=True)
            self.assertEqual((done.returncode, done.stderr), (0, b""), done)
            self.assertIn(b"\n400 tests in ", done.stdout)
        self.assertNotIn("pwned", os.listdir(self.here))

    def test_report_of_a_run_that_goes_on(self):
        """Shown, but not written: results are those of the whole journal beside them, or not there."""
        with self.held():
            process = self.start("goes-on")
            self.wait_for("goes-on", b'"test-end"', process)
            ran = self.gauntlet("report", "goes-on")
            self.assertEqual(ran.code, 6, ran)
            self.assertIn("the run goes on: results.json is not written", ran.err)
            self.assertIn("INCOMPLETE", ran.out)
            self.assertNotIn("results.json", os.listdir(self.path("goes-on")))
            process.kill()
            process.wait()
        ran = self.gauntlet("report", "goes-on")
        self.assertEqual((ran.code, ran.err), (6, ""), ran)
        self.assertIn("results.json", os.listdir(self.path("goes-on")))

    def test_report_while_the_run_ends(self):
        """A run that ends while its report is asked for: the whole journal is reported, or nothing written."""
        whole = lines(self.path("whole"))
        for round_ in range(10):
            folder = self.path(f"ends-{round_}")
            shutil.copytree(self.path("whole"), folder)
            os.remove(os.path.join(folder, "results.json"))
            with open(os.path.join(folder, "events.jsonl"), "wb") as f:
                f.writelines(whole[:-3])
            with open(os.path.join(folder, "run.lock"), "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # as the run does
                report = subprocess.Popen(
                    [BINARY, "report", folder], env=environment(), stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.wait_for_lock(report, folder)
                with open(os.path.join(folder, "events.jsonl"), "ab") as f:
                    f.writelines(whole[-3:])
            out, err = report.communicate(timeout=support.PATIENCE)
            if "the run goes on" in err:
                self.assertNotIn("results.json", os.listdir(folder))
                continue
            self.assertEqual((report.returncode, err), (1, ""), out)
            self.assertEqual(Run(folder).results, self.whole.results)

    def wait_for_lock(self, process, folder):
        """It has opened the lock of the run directory, and looks whether it is free; or has ended."""
        def opened():
            fds = f"/proc/{process.pid}/fd"
            with contextlib.suppress(OSError):
                return any(os.readlink(f"{fds}/{fd}") == f"{os.path.realpath(folder)}/run.lock"
                           for fd in os.listdir(fds))
        support.wait_for(lambda: process.poll() is not None or opened())

    def test_refused_when_a_case_changed(self):
        write_text(self.path("z.fake"), '{"a": {}, "b": {"setup": "error"}}')
        flags = ["--suite", "z.fake", "-j", "1", "--max-failures", "1"]
        self.fake("changed", code=1, flags=flags)
        write_text(self.path("z.fake"), '{"a": {}, "b": {}}')
        self.refused("run", "-r", "changed", *flags, "--rerun-failed", env=FAKE, lines=2,
                     says="the files of test 'a' are not what they were")

    def test_refused_when_a_file_of_a_case_changed(self):
        """In place, so that no folder's time changes: outputs, external data, imported modules."""
        os.mkdir(self.path("files"))
        shutil.copytree(os.path.join(NODE_TESTS, "test_abs"), self.path("files", "abs"))
        self.write_external(self.path("files", "other"))
        os.makedirs(self.path("files", "aaa"))
        write_text(self.path("files", "aaa", "model.onnx"), "garbage")
        os.makedirs(self.path("class"))
        write_text(self.path("class", "helper.py"), "K = 1")
        write_text(self.path("class", "c.py"), "import os, sys\nfrom gauntlet import OnnxTest, "
                   "register\n@register('c1')\nclass A(OnnxTest):\n    pass\n@register('c2')\n"
                   "class B(OnnxTest):\n    pass\n")
        for suite, changed in (
                ("files", ("abs", "test_data_set_0", "output_0.pb")), ("files", ("abs", "model.onnx")),
                ("files", ("other", "in", "weights.bin")), ("class/c.py", ("helper.py",))):
            with self.subTest(changed):
                shutil.rmtree(self.path("before"), ignore_errors=True)
                flags = ["--suite", suite, "-j", "1", "--stages", "setup", "import_model"]
                self.fake("before", "--max-failures", "1", code=1, flags=flags)
                path = self.path(suite.split("/")[0], *changed)
                with open(path, "r+b") as f:
                    f.seek(-1, os.SEEK_END)
                    f.write(b"!")
                self.refused("run", "-r", "before", *flags, "--resume", env=FAKE, lines=2,
                             says=["the files of test", "are not what they were",
                                   f"'{path}' has been changed since"])
        os.rename(path, path + ".away")
        self.refused("run", "-r", "before", *flags, "--resume", env=FAKE, lines=2,
                     says=["the files of test", "are not what they were"])

    def write_external(self, folder):
        """A test whose model has its weights in a file in a folder beside it."""
        proto = unary("Abs")
        stored = numpy_helper.from_array(np.zeros(2, np.float32), "c")
        stored.ClearField("raw_data")
        stored.data_location = TensorProto.EXTERNAL
        entry = stored.external_data.add()
        entry.key, entry.value = "location", "in/weights.bin"
        proto.graph.initializer.append(stored)
        support.write_test(folder, proto)
        os.mkdir(os.path.join(folder, "in"))
        write_text(os.path.join(folder, "in", "weights.bin"), "12345678")

    def test_what_is_no_file_of_a_case(self):
        """A model alone in the current folder: its neighbours are nobody's, the log of the run among them."""
        here = self.path("alone")
        self.write_external(here)
        shutil.copy(os.path.join(here, "model.onnx"), os.path.join(here, "other.onnx"))
        for name in ("model.onnx", "other.onnx"):
            with self.subTest(name):
                shutil.rmtree(os.path.join(here, "test-run"), ignore_errors=True)
                base = ["run", "--suite", name, "--expect", "none", "-j", "1"]
                self.gauntlet(*base, "--stages", "setup", "import_model", cwd=here)
                path = os.path.join(here, "test-run", "events.jsonl")
                kept = lines(os.path.dirname(path))[:-1]  # killed before run-end
                with open(path, "wb") as f:
                    f.writelines(kept)
                for neighbour in ("night.log", f"{name[:5]}.log", "model.txt"):
                    write_text(os.path.join(here, neighbour), neighbour + " " + name)
                ran = self.gauntlet(*base, "--stages", "setup", "import_model", "--resume", cwd=here)
                self.assertNotIn("are not what they were", ran.err)
                self.assertNotEqual(ran.code, 2, ran)
                self.assertTrue(read_json(os.path.join(here, "test-run", "results.json"))["complete"])

    def another(self, folder, env, flags, says):
        """Going on with what has just been changed is refused, and the journal stays."""
        before = lines(self.path(folder))
        self.refused("run", "-r", folder, *flags, "--resume", env={**FAKE, **env}, says=says, lines=2)
        self.assertEqual(lines(self.path(folder)), before)

    def test_refused_when_gauntlet_changed(self):
        """Setup, inputs, postprocessing, comparison and every judgement are its own."""
        os.mkdir(self.path("bin"))
        program = shutil.copy(BINARY, self.path("bin", "gauntlet"))
        shutil.copy(os.path.join(os.path.dirname(BINARY), "libgauntlet_worker.so"), self.path("bin"))
        flags = ["--suite", "x.fake", "-j", "1", "--max-failures", "1", "--stages", "setup",
                 "construct_inputs"]
        subprocess.run([program, "run", "-r", "build", *flags], cwd=self.here,
                       env=environment(**FAKE), stdin=subprocess.DEVNULL, capture_output=True)
        tool = read_json(self.path("build", "results.json"))["run"]["tools"]["gauntlet"]
        self.assertEqual((tool["name"], tool["path"]), ("gauntlet", os.path.realpath(program)))
        self.assertRegex(tool["version"], r"^\d+\.\d+\.\d+$")
        build = bytes.fromhex(tool["build"])
        with open(program, "rb") as f:
            code = f.read()
        self.assertEqual(code.count(build), 1)
        os.remove(program)
        with open(program, "wb") as f:
            f.write(code.replace(build, build[::-1]))
        os.chmod(program, 0o755)
        before = lines(self.path("build"))
        done = subprocess.run([program, "run", "-r", "build", *flags, "--resume"], cwd=self.here,
                              env=environment(**FAKE), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(f"the run was begun with tools.gauntlet.build '{build.hex()}' where this one says "
                      f"'{build[::-1].hex()}'", done.stderr)
        self.assertEqual(lines(self.path("build")), before)

    def test_refused_when_an_older_gauntlet_began(self):
        """One that did not yet say which it was."""
        shutil.copytree(self.path("whole"), self.path("older"))
        # The sum of a line is the lower half of what a file of more than 240 bytes has.
        first, *rest = lines(self.path("older"))
        event = json.loads(first)
        del event["tools"]["gauntlet"], event["sum"]
        text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)[:-1]
        with open(self.path("older", "events.jsonl"), "wb") as f:
            f.writelines([f'{text},"sum":"{support.hash_bytes(text.encode())[16:]}"}}\n'.encode(), *rest])
        self.another("older", {}, FLAGS, says=["tools.gauntlet nothing where this one says"])

    def test_refused_when_the_frontend_changed(self):
        shutil.copytree(os.path.join(support.ROOT, "frontend"), self.path("frontend"),
                        ignore=shutil.ignore_patterns("__pycache__"))
        env = {"GAUNTLET_FRONTEND": self.path("frontend")}
        flags = ["--suite", "x.fake", "-j", "1", "--max-failures", "1", "--stages", "setup",
                 "import_model"]
        self.run_tests("old-frontend", *flags, env={**FAKE, **env}, code=1)
        with open(self.path("frontend", "gauntlet", "importer.py"), "a", encoding="utf-8") as f:
            f.write("# one line more\n")
        self.another("old-frontend", env, flags, says=["tools.frontend.build", "frontend "])

    def test_rerun_that_was_killed(self):
        """Nothing has a result when it dies: there is something to go on with all the same."""
        flags = ["--suite", "v.fake", "-j", "1"]
        write_text(self.path("v.fake"), '{"a": {"compilation": "error"}, "b": {"setup": "error"}}')
        self.fake("rerun", code=1, flags=flags)
        whole = lines(self.path("rerun"))
        _, run = self.fake("rerun", "--rerun-failed", code=1, flags=flags)
        resumed = [n for n, line in enumerate(lines(self.path("rerun"))) if b"run-resume" in line]
        for more in ("--rerun-failed", "--resume"):
            shutil.rmtree(self.path("cut"), ignore_errors=True)
            shutil.copytree(self.path("rerun"), self.path("cut"))
            with open(self.path("cut", "events.jsonl"), "wb") as f:
                f.writelines(lines(self.path("rerun"))[:resumed[0] + 1])
            ran, again = self.fake("cut", more, code=1, flags=flags)
            self.assertNotIn("holds no run", ran.err)
            self.assertEqual(endings(again), endings(run))
            self.assertEqual(lines(self.path("cut"))[:len(whole)], whole)

    def test_refused_when_the_journal_is_damaged(self):
        shutil.copytree(self.path("whole"), self.path("damaged"))
        damaged = lines(self.path("damaged"))
        damaged[20] = damaged[20].replace(b"stage", b"stake", 1)
        with open(self.path("damaged", "events.jsonl"), "wb") as f:
            f.writelines(damaged)
        self.refused("run", "-r", "damaged", *FLAGS, "--resume", env=FAKE,
                     says=["the run cannot go on", "line 21", "checksum"])

    def test_rerun_failed(self):
        """Those that failed, and no others; one that ends differently is flaky."""
        shutil.copytree(self.path("whole"), self.path("again"))
        ran, run = self.fake("again", "--rerun-failed", code=1)
        self.same(run)
        resumed = [e for e in run.events() if e["event"] == "run-resume"]
        failed = {name for name, end in self.endings.items() if end[4] == "FAIL"}
        self.assertEqual(set(resumed[0]["again"]), failed)
        behind = run.events()[resumed[0]["seq"]:]
        self.assertEqual({e["test"] for e in behind if "test" in e}, failed)
        self.assertIn(f"{len(failed)} of 10 tests are still to be run", ran.out)

    def test_a_changed_result_is_flaky(self):
        """A second run that ends differently: the marker lies in the folder that the test names."""
        write_text(self.path("w.py"), '''
import os
from onnx import TensorProto, helper
from gauntlet import OnnxTest, register


@register("sometimes")
class Sometimes(OnnxTest):
    def construct_model(self):
        if not os.path.exists("%s"):
            raise RuntimeError("not today")
        ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xy"]
        node = helper.make_node("Neg", ["x"], ["y"])
        return helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]),
                                 opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
''' % self.path("marker"))
        flags = ["--suite", "w.py", "-j", "1"]
        ran, run = self.fake("flaky", code=1, flags=flags)
        self.assertEqual(run.end("sometimes")[1], "error", ran)
        write_text(self.path("marker"), "")
        ran, run = self.fake("flaky", "--rerun-failed", code=0, flags=flags)
        self.assertEqual(run.end("sometimes"), ("PASS", ""))
        self.assertTrue(run["sometimes"]["flaky"])
        self.assertIn("flaky", ran.out)

    def test_results_that_are_not_backed(self):
        """They are run again, and count for --max-failures as if they had never been."""
        shutil.copytree(self.path("whole"), self.path("unbacked"))
        shutil.rmtree(self.path("unbacked", "passes"))
        os.remove(self.path("unbacked", "errs", "import_model.log"))
        ran, run = self.fake("unbacked", "--resume", "--max-failures", "5", code=1)
        self.same(run)
        self.assertEqual(ran.err.count("it is run again\n"), 2, ran)
        resumed = [e for e in run.events() if e["event"] == "run-resume"]
        self.assertEqual(set(resumed[0]["again"]), {"passes", "errs"})
        ran, run = self.fake("unbacked", "--resume", code=1)
        self.assertEqual(ran.err, "")

    def test_full_disk(self):
        """A run that the disk has stopped goes on when there is room."""
        if os.geteuid() != 0:
            self.skipTest("mounts a small disk: only root may")
        disk = self.path("disk")
        os.mkdir(disk)
        mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "none", disk]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            self.skipTest("mounts a small disk: not allowed here")
        self.addCleanup(subprocess.run, ["umount", disk])
        ran = self.gauntlet("run", "-r", "disk/run", *FLAGS, env=FAKE)
        self.assertEqual(ran.code, 3, ran)
        self.assertIn("room", ran.err)
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        self.same(self.fake("disk/run", "--resume", code=1)[1])

    def test_inputs_of_an_earlier_run(self):
        """Killed after the folder was emptied: the inputs that are to be loaded are still known."""
        flags = ["--suite", "onnx-node", "test_abs", "-j", "1", "--expect", "none"]
        again = [*flags, "--load-inputs"]
        for _ in range(20):  # until it comes in time
            self.fake("inputs", code=0, flags=flags)
            process = subprocess.Popen(
                [BINARY, "run", "-r", "inputs", *again], cwd=self.here, env=environment(),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.wait_for_import("inputs", process)
            process.kill()
            process.wait()
            if not any(b'"test-end"' in line for line in lines(self.path("inputs"))):
                break
        else:
            self.fail("the run was always quicker")
        run = self.fake("inputs", "--resume", code=0, flags=again)[1]
        self.assertEqual(run.end("test_abs"), ("PASS", ""))

    def wait_for_import(self, folder, process):
        """In the run whose journal replaces that of the one before, whose arguments are others."""
        def begun():
            journal = lines(self.path(folder))
            return journal and b"--load-inputs" in journal[0] and any(
                b'"stage":"import_model"' in line for line in journal)
        support.wait_for(begun, process)

    def test_hangs(self):
        """A test that has met its limit once, when the run dies, gets all its tries again."""
        write_text(self.path("h.fake"), '{"hangs": {"compilation": "sleep"}}')
        flags = ["--suite", "h.fake", "-j", "1", *LIMITS, "--timeout", "compilation=3"]
        _, run = self.fake("hangs", code=1, flags=flags)
        self.assertEqual(run.end("hangs"), ("compilation", "timeout"))
        whole = lines(self.path("hangs"))
        first, second = [n for n, line in enumerate(whole) if b'"why":"timeout"' in line and
                         b'"stage-end"' in line]
        for last, tries in ((first, 2), (second + 1, 0)):
            with self.subTest(tries):
                self.assertEqual(b'"test-end"' in whole[last], tries == 0)
                shutil.rmtree(self.path("cut"), ignore_errors=True)
                shutil.copytree(self.path("hangs"), self.path("cut"))
                with open(self.path("cut", "events.jsonl"), "wb") as f:
                    f.writelines(whole[:last + 1])
                _, again = self.fake("cut", "--resume", code=1, flags=flags)
                self.assertTrue(again.results["complete"])
                self.assertEqual(endings(again), endings(run))
                behind = [e for e in again.events()[last + 1:] if e["event"] == "stage-end"
                          and e["why"] == "timeout"]
                self.assertEqual([e["attempt"] for e in behind], list(range(1, tries + 1)))


if __name__ == "__main__":
    unittest.main()
