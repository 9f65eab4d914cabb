"""Files of a run that somebody takes away, replaces or changes while it runs: a test, or another program."""

import contextlib
import json
import os
import shutil
import subprocess
import unittest

import support
from support import write_text
from test_python import HEAD

FAKE = {"GAUNTLET_FAKE": "1"}
TRIES = "attempts.construct_inputs"

# Tests that do not leave their folder alone; those below "made" only make what is in our way there.
CLASSES = HEAD + """
import shutil, signal, threading, time

OUTSIDE, NEIGHBOUR = "{outside}", "../z_innocent"


def replace(folder, by):
    gone = False
    while not gone:
        try:
            shutil.rmtree(folder)
            gone = True
        except OSError:  # a stage wrote there meanwhile
            gone = not os.path.exists(folder)
    if by == "file":
        open(folder, "w").close()
    elif by == "folder":
        os.mkdir(folder)
    elif by == "pipe":
        os.mkfifo(folder)
    elif by:
        os.symlink(by, folder)


class Meddles(Base):
    by = None

    def forward(self, inputs):
        outputs = super().forward(inputs)
        replace(self.folder, self.by)
        return outputs


def meddler(name, **members):
    register(name)(type(name, (Meddles,), members))


meddler("removed")
meddler("file", by="file")
meddler("folder", by="folder")
meddler("pipe", by="pipe")
meddler("outside", by=OUTSIDE)
meddler("neighbour", by=NEIGHBOUR)
meddler("nowhere", by="nowhere")
meddler("itself", by="itself")


@register("raises")
class Raises(Meddles):
    def forward(self, inputs):
        super().forward(inputs)
        raise ValueError("not today")


@register("crashes")
class Crashes(Meddles):
    def forward(self, inputs):
        super().forward(inputs)
        os.kill(os.getpid(), signal.SIGSEGV)


@register("hangs")
class Hangs(Meddles):
    def forward(self, inputs):
        super().forward(inputs)
        time.sleep(1000)


@register("later")
class Later(Base):
    "It serves on, and meddles while somebody else does a stage."

    def forward(self, inputs):
        self.thread = threading.Thread(target=self.meddle)
        self.thread.start()
        return super().forward(inputs)

    def meddle(self):
        begins = '"stage-start","test":"later","stage":"compiled_inference"'
        while begins not in open(os.path.join(self.folder, "..", "events.jsonl")).read():
            time.sleep(0.01)
        replace(self.folder, OUTSIDE)

    def apply_postprocessing(self, outputs):
        self.thread.join()
        return outputs


@register("made")
class Made(Base):
    def forward(self, inputs):
        for name in ("native_inference.output", ".stages.json.tmp", "stages.json",
                     ".native_inference.output.tmp"):
            os.makedirs(os.path.join(self.folder, name, "x"))
        print("something for the log", flush=True)
        return super().forward(inputs)


@register("pipes")
class Pipes(Base):
    def forward(self, inputs):
        for name in ("native_inference.log", "stages.json", ".native_inference.log.tmp"):
            if not os.path.exists(os.path.join(self.folder, name)):  # it is tried again
                os.mkfifo(os.path.join(self.folder, name))
        raise ValueError("not today")


@register("z_innocent")
class Innocent(Base):
    pass
"""
SAYS = {"folder": "by another one", "file": "by what is no folder", "pipe": "by what is no folder", "outside": "by a link",
        "neighbour": "by a link", "nowhere": "by a link", "itself": "by a link", "removed": "removed",
        "raises": "; forward: ValueError: not today", "crashes": "the test class crashed",
        "hangs": "did not end within"}


class Meddling(support.TestCase):
    def no_finding(self, ran):
        self.assertNotIn("audit", ran.err)
        self.assertNotIn("INCOMPLETE", ran.out)

    def check_folders(self, ran, run, tests):
        self.no_finding(ran)
        self.assertTrue(run.results["complete"])
        for test in tests:
            with self.subTest(test):
                self.ends(run, test, "native_inference", "error",
                          [f"the test's folder '{run.folder(test)}' was ", SAYS[test]])
                self.assertFalse(os.path.islink(run.folder(test)))
                self.assertEqual(sorted(os.listdir(run.folder(test))),
                                 ["native_inference.log", "stages.json", "test.json"])
                self.assertIn("the test's folder", run.text(test, "native_inference.log"))
                stages = run.json(test, "stages.json")["stages"]
                self.assertEqual(stages["native_inference"]["why"], "error")
                self.assertEqual([s for s in stages if stages[s]["files"]], [])

    def test_folders_of_tests(self):
        """It fails where it did that; all others go on, and nothing elsewhere is touched."""
        outside = self.path("outside")
        os.mkdir(outside)
        write_text(os.path.join(outside, "native_inference.log"), "precious")
        write_text(self.path("meddles.py"), CLASSES.replace("{outside}", outside))
        base = ["--suite", "meddles.py", "-d", "local-sync", "-j", "2", "--retries", "error=1",
                "--retries", "timeout=1"]
        ran, run = self.run_tests("endless", *base, "hangs", "--timeout", "native_inference=2", code=1)
        self.check_folders(ran, run, {"hangs"})
        flags = [*base, "-t", "(?!hangs)"]
        ran, run = self.run_tests("meddled", *flags, code=1)
        self.check_folders(ran, run, SAYS.keys() - {"hangs"})
        self.assertIn(run.end("later"), [(s, "error") for s in ("compiled_inference", "postprocessing")])
        self.assertFalse(os.path.islink(run.folder("later")))
        self.assertEqual(run.end("made"), ("PASS", ""))
        self.assertIn("something for the log", run.text("made", "native_inference.output"))
        self.ends(run, "pipes", "native_inference", "error", "forward: ValueError: not today")
        self.assertEqual(run.end("z_innocent"), ("PASS", ""))
        self.assertEqual(os.listdir(outside), ["native_inference.log"])
        self.assertEqual(support.read_text(os.path.join(outside, "native_inference.log")), "precious")
        ran, again = self.run_tests("meddled", *flags, "--resume", code=1)
        self.assertEqual(again.results, run.results)

    def start(self, folder, suite, *more, env=None, **options):
        if not os.path.exists(self.path(f"{folder}.fake")):
            write_text(self.path(f"{folder}.fake"), json.dumps(suite))
        process = subprocess.Popen(
            [support.BINARY, "run", "-r", folder, "--suite", f"{folder}.fake", "--color", "never",
             *more], cwd=self.here, env=support.environment(**FAKE, **(env or {})),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            **options)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def wait_for(self, folder, text, process):
        support.wait_for(lambda: any(text in line for line in support.journal(self.path(folder))),
                         process)

    def end(self, process):
        out, err = process.communicate(timeout=support.PATIENCE)
        return support.Ran(process.returncode, out, err)

    # --- the journal

    def journal(self, folder, meddle):
        """Ten tests, during which somebody meddles with the journal."""
        suite = {f"t{i}": {} for i in range(10)}
        suite["t1"] = {"construct_inputs": f"until:{self.path(folder + '.gate')}"}
        process = self.start(folder, suite, "-j", "1", "--stages", "setup", "construct_inputs")
        self.wait_for(folder, b'"stage-start","test":"t1","stage":"construct_inputs"', process)
        meddle(self.path(folder, "events.jsonl"))
        self.open(folder + ".gate")
        ran = self.end(process)
        self.assertEqual(ran.code, 3, ran)
        self.assertRegex(ran.err, r"\Agauntlet: the journal '[^\n]*/events.jsonl' was [^\n]* during "
                         r"the run[^\n]*; what it told is lost: remove the run directory, or name "
                         r"another one with -r, and run again\n\Z")
        self.assertIn("INCOMPLETE", ran.out)
        return ran

    def test_journal_is_removed(self):
        ran = self.journal("gone", os.remove)
        self.assertIn("was removed or replaced", ran.err)
        self.assertIn("have no result", ran.out)  # noticed at once
        self.assertFalse(os.path.exists(self.path("gone", "events.jsonl")))

    def test_journal_is_another_file(self):
        def copy(path):
            shutil.copy(path, path + ".copy")
            os.rename(path + ".copy", path)
        self.assertIn("was removed or replaced", self.journal("copied", copy).err)

    def test_journal_is_cut(self):
        for size in (0, 1000):
            with self.subTest(size):
                folder = f"cut{size}"
                ran = self.journal(folder, lambda path, size=size: os.truncate(path, size))
                self.assertIn(f"it has {size} bytes where", ran.err)
                # Nothing was written behind: what is there can be read.
                self.assertEqual(os.path.getsize(self.path(folder, "events.jsonl")), size)
                ran = self.gauntlet("run", "-r", folder, "--suite", f"{folder}.fake", "--stages",
                                    "setup", "construct_inputs", "-j", "4", "--resume", env=FAKE)
                self.assertEqual(ran.code, 0, ran)

    def test_journal_is_changed(self):
        """One byte, in its place: seen when all is over."""
        def change(path):
            with open(path, "r+b") as f:
                f.seek(1500)
                byte = f.read(1)
                f.seek(1500)
                f.write(b"?" if byte != b"?" else b"!")
        self.journal("changed", change)
        results = support.read_json(self.path("changed", "results.json"))
        self.assertFalse(results["complete"])

    # --- folders, by others

    def test_a_file_is_in_the_way(self):
        """It may be somebody's: nothing begins, and an earlier run stays as it is."""
        for earlier in (False, True):
            with self.subTest(earlier=earlier):
                write_text(self.path("way.fake"), '{"p0": {}, "p1": {}}')
                flags = ["run", "-r", "way", "--suite", "way.fake", "--stages", "setup"]
                if earlier:
                    os.remove(self.path("way", "p1"))
                    self.assertEqual(self.gauntlet(*flags, env=FAKE).code, 0)
                    shutil.rmtree(self.path("way", "p1"))
                else:
                    os.mkdir(self.path("way"))
                    write_text(self.path("way", "events.jsonl"), "")
                write_text(self.path("way", "p1"), "precious")
                before = support.read_text(self.path("way", "events.jsonl"))
                self.refused(*flags, env=FAKE, says=["/way/p1' is in the place of the folder of test "
                                                     "'p1': move it away"])
                self.assertEqual(support.read_text(self.path("way", "p1")), "precious")
                self.assertEqual(support.read_text(self.path("way", "events.jsonl")), before)

    def wait_for_both(self, process):
        """Until the tests that are held have counted their try: they only wait then."""
        support.wait_for(lambda: all(os.path.exists(self.path("shut", test, TRIES))
                                     for test in ("now", "well")), process)

    def test_closed_by_permissions(self):
        """For who is not root: a folder that is shut while its test runs, or before it begins."""
        os.chmod(self.here, 0o755)
        user = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
        flags = ["-j", "2", "--stages", "setup", "construct_inputs"]
        # The tools may be root's alone; these stages need none of them.
        env = {f"GAUNTLET_{tool}": "/" if tool == "ONNX" else "/bin/true"
               for tool in ("PYTHON", "IREE_COMPILER", "ONNXRUNTIME", "ONNX")}
        os.mkdir(self.path("shut"))
        if user:
            os.chown(self.path("shut"), 65534, 65534)
            if not os.access(support.BINARY, os.X_OK) or subprocess.run(
                    [support.BINARY, "--version"], **user, cwd="/", capture_output=True).returncode:
                self.skipTest("nobody but root may run this program")
        held = f"1000*until:{self.path('shut.gate')}"
        suite = {"now": {"construct_inputs": held}, "well": {"construct_inputs": held}, "zearlier": {}}
        process = self.start("shut", suite, *flags, env=env, **user)
        self.wait_for_both(process)
        os.mkdir(self.path("shut", "zearlier"), 0o500)
        if user:
            os.chown(self.path("shut", "zearlier"), 65534, 65534)
        os.chmod(self.path("shut", "now"), 0)
        self.open("shut.gate")
        ran = self.end(process)
        run = support.Run(self.path("shut"))
        self.assertEqual(ran.code, 1, ran)
        self.no_finding(ran)
        self.ends(run, "now", "construct_inputs", "error", "was closed to us")
        self.assertEqual(run.end("well"), ("PASS", "partial"))
        self.assertEqual(run.end("zearlier"), ("PASS", "partial"))
        # Where even that does not help, it is one test's ending still, and the audit says the rest.
        if not user:
            self.skipTest("the last part gives a folder to another user: only root may")
        os.remove(self.path("shut.gate"))
        for test in ("now", "well"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.path("shut", test, TRIES))
        process = self.start("shut", suite, *flags, env=env, **user)
        self.wait_for_both(process)
        shutil.rmtree(self.path("shut", "zearlier"))
        os.mkdir(self.path("shut", "zearlier"), 0o755)
        self.open("shut.gate")
        ran = self.end(process)
        run = support.Run(self.path("shut"))
        self.assertEqual(ran.code, 6, ran)
        self.ends(run, "zearlier", "setup", "error",
                  [f"cannot write to the test's folder '{run.folder('zearlier')}': remove it"])
        self.assertEqual(ran.err.count("gauntlet: audit: 'zearlier' ended as setup"), 1, ran)
        self.assertEqual(ran.err.count("\n"), 1, ran)
        self.assertEqual(run.end("well"), ("PASS", "partial"))
        os.rmdir(self.path("shut", "zearlier"))
        process = self.start("shut", suite, *flags, "--resume", env=env, **user)
        ran = self.end(process)
        self.assertEqual(ran.code, 0, ran)
        self.assertIn("it is run again", ran.err)


if __name__ == "__main__":
    unittest.main()
