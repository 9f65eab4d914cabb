"""What a person sees: a terminal with one live line, plain lines elsewhere."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import unittest

import numpy as np

import support
from support import unary, write_test, write_text

X = np.array([[1, -2, 3], [4, 5, -6]], np.float32)


class Console(support.TestCase):
    LONG = "a_rather_long_name_of_a_test_" + "n" * 120

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_test(cls.path("suite", "passes"), unary("Abs"), ([X], [abs(X)]))
        write_test(cls.path("suite", "differs"), unary("Abs"), ([X], [X]))
        write_test(cls.path("suite", cls.LONG), b"garbage")

    def on_terminal(self, *arguments, columns=80, when=None, then=None, **env):
        """(exit code, everything that was written to a terminal of that width). When it shows a
        certain text, something is done with the process, which may return the next text and what then."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [support.BINARY, *arguments], cwd=self.here, env=support.environment(**env),
            stdin=slave, stdout=slave, stderr=slave, close_fds=True)
        os.close(slave)
        data = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not piece:
                break
            data += piece
            if when and when in data:
                when = None
                when, then = then(process) or (None, None)
        os.close(master)
        return process.wait(timeout=60), data.decode("utf-8")

    @staticmethod
    def without_color(text):
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    @staticmethod
    def screen(text):
        """What stays on the screen: a line that is erased or written over is gone."""
        lines = []
        for line in text.replace("\r\n", "\n").split("\n"):
            lines.append(re.split(r"\r|\x1b\[K", Console.without_color(line))[-1])
        return "\n".join(lines)

    def run_on_terminal(self, folder, *more, **options):
        return self.on_terminal("run", "--suite", "suite", "-d", "local-sync", "-r", folder,
                                *more, **options)

    def test_terminal(self):
        code, text = self.run_on_terminal("t")
        self.assertEqual(code, 1, text)
        plain = self.without_color(text)
        progress = re.findall(r"\r\x1b\[K(\[[^\r\n\x1b]*)", plain)
        self.assertTrue(progress, repr(text))
        for line in progress:
            self.assertRegex(line, r"\A\[ *[0-9.]+s\] \d/3  \d pass")
            self.assertLess(len(line), 80, line)
        screen = self.screen(text)
        self.assertNotRegex(screen, r"\[ *[0-9.]+s\]")  # nothing of it stays
        self.assertEqual(len(re.findall(r"(?m)^FAIL ", screen)), 2, screen)
        self.assertIn("\x1b[31m", text)
        for line in screen.split("\n"):
            if self.LONG not in line and self.here not in line:
                self.assertLess(len(line), 81, line)
        self.assertIn("\n3 tests in ", screen)

    def test_what_runs(self):
        """It is shown while it runs: this test ends when it is."""
        gate = self.path("gate")
        suite = write_text(self.path("held.fake"), json.dumps({"held": {"compilation": f"until:{gate}"}}))
        code, text = self.on_terminal(
            "run", "--suite", suite, "-r", "held", when=b"| compilation held",
            then=lambda _: self.open("gate") and None, GAUNTLET_FAKE="1")
        self.assertEqual(code, 0, text)
        self.assertNotIn("| compilation held", self.screen(text))

    def test_interruption_is_answered(self):
        """At once, while what runs is still held; on a terminal and elsewhere."""
        suite = write_text(self.path("stop.fake"), json.dumps(
            {"held": {"compilation": f"until:{self.path('go')}"}, "later": {}}))
        says = "interrupted: what runs has 10 s to end; again ends it now"

        def interrupt(process):
            process.send_signal(signal.SIGINT)
            return says.encode(), lambda _: self.open("go") and None
        code, text = self.on_terminal("run", "--suite", suite, "-r", "stop", "-j", "1",
                                      when=b"| compilation held", then=interrupt, GAUNTLET_FAKE="1")
        self.assertEqual(code, -signal.SIGINT, text)
        self.assertEqual(self.screen(text).count(says + "\n"), 1, text)
        self.assertIn("INCOMPLETE (interrupted): 2 of 2 tests have no result; --resume goes on",
                      self.screen(text))
        os.remove(self.path("go"))
        process = subprocess.Popen(
            [support.BINARY, "run", "--suite", suite, "-r", "plain", "-j", "1"], cwd=self.here,
            env=support.environment(GAUNTLET_FAKE="1"), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        support.wait_for(lambda: any(b'"compilation"' in line for line in
                                     support.journal(self.path("plain"))[1:]), process)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.stdout.readline(), says + "\n")
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.stdout.readline(), "interrupted: what runs is ended now\n")
        process.communicate()
        self.assertEqual(process.returncode, -signal.SIGTERM)

    def test_enough_failures_are_told(self):
        suite = write_text(self.path("max.fake"), json.dumps(
            {"held": {"setup": f"until:{self.path('max-go')}"}, "later": {}, "bad": {"setup": "error"}}))
        process = subprocess.Popen(
            [support.BINARY, "run", "--suite", suite, "-r", "max", "-j", "2", "--max-failures", "1",
             "bad", "held", "later"], cwd=self.here, stdin=subprocess.DEVNULL,
            env=support.environment(GAUNTLET_FAKE="1"), stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertTrue(process.stdout.readline().startswith("FAIL "))
        self.assertEqual(process.stdout.readline(), "enough failures: nothing more is started, "
                         "what runs has 10 s to end\n")
        self.assertIsNone(process.poll())
        self.open("max-go")
        out, _ = process.communicate()
        self.assertEqual(process.returncode, 1, out)
        self.assertIn("; --resume goes on\n", out)

    def test_logs_are_named(self):
        """The summary says where the whole of each failure is, also in a folder of another name."""
        suite = write_text(self.path("logs.fake"), json.dumps(
            {"a b/c": {"setup": "error:no"}, "differs": {"compiled_inference": "wrong"}}))
        ran = self.gauntlet("run", "--suite", suite, "-r", "logs", env={"GAUNTLET_FAKE": "1"})
        logs = re.findall(r"(?m)^      log  (.*)$", ran.out)
        self.assertEqual(len(logs), 2, ran)
        self.assertIn("message no\n", support.read_text(logs[0]))
        self.assertTrue(logs[1].endswith("/logs/differs/inference_comparison.log"), logs)
        self.assertTrue(os.path.isfile(logs[1]))
        self.assertEqual(re.findall(r"(?m)^      log  (.*)$", self.gauntlet("report", "logs").out), logs)

    def test_narrow_terminal(self):
        code, text = self.run_on_terminal("n", "--stages", "setup", "--", "differs",
                                          columns=30)
        self.assertEqual(code, 0, text)
        for line in re.findall(r"\r\x1b\[K(\[[^\r\n\x1b]*)", self.without_color(text)):
            self.assertLess(len(line), 30, line)

    def test_colors(self):
        quick = ["--stages", "setup"]
        for env, flags, colored in (({}, [], True), ({"NO_COLOR": "1"}, [], False),
                                    ({"TERM": "dumb"}, [], False), ({}, ["--color=never"], False),
                                    ({"NO_COLOR": "1"}, ["--color", "always"], True)):
            with self.subTest(env=env, flags=flags):
                _, text = self.run_on_terminal("c", *quick, *flags, **env)
                self.assertEqual(bool(re.search(r"\x1b\[\d+m", text)), colored, repr(text))
        for flags, env, colored in (([], {}, False), (["--color=always"], {}, True),
                                    ([], {"FORCE_COLOR": "1"}, True)):
            ran = self.gauntlet("run", "--suite", "suite", "-r", "c", *quick, *flags, env=env)
            self.assertEqual(bool(re.search(r"\x1b\[\d+m", ran.out)), colored, ran)
        self.refused("run", "--suite", "suite", "--color", "blue", says="auto, always, never")

    def test_terminal_that_cannot_move_its_cursor(self):
        for env in ({"TERM": "dumb"}, {"CI": "true"}):
            _, text = self.run_on_terminal("d", "--stages", "setup", **env)
            self.assertNotIn("\x1b[K", text)
            self.assertNotIn("\r\x1b", text)

    def test_plain(self):
        ran = self.gauntlet("run", "--suite", "suite", "-r", "p", "--stages", "setup")
        self.assertEqual(ran.code, 1, ran)
        self.assertEqual(ran.err, "")
        self.assertNotRegex(ran.out, r"[\r\x1b]")
        self.assertEqual(len(re.findall(r"(?m)^FAIL +setup +", ran.out)), 1, ran)
        self.assertNotRegex(ran.out, r"(?m)^PASS +[0-9.]+ s")
        # Nothing is cut where a line may be as long as it likes.
        self.assertRegex(ran.out, r"(?m)^FAIL .*cannot be read: '.*/model\.onnx'")

    def test_verbose(self):
        ran = self.gauntlet("run", "--suite", "suite", "-r", "v", "--stages", "setup", "-v")
        self.assertEqual(len(re.findall(r"(?m)^PASS +[0-9.]+ s +(passes|differs)$", ran.out)), 2,
                         ran)

    def test_doctor(self):
        ran = self.gauntlet("doctor")
        self.assertEqual(ran.code, 0, ran)
        for word in ("compiler", "runtime", "onnxruntime", "onnx", "python", "isolation", "fit"):
            self.assertRegex(ran.out, rf"(?m)^{word} ")
        self.assertNotIn("PROBLEM", ran.out)
        ran = self.gauntlet("doctor", env={"GAUNTLET_ONNXRUNTIME": "/nonexistent/x"})
        self.assertEqual(ran.code, 2, ran)
        self.assertRegex(ran.out, r"(?m)^tools +PROBLEM: GAUNTLET_ONNXRUNTIME names '/nonexist")
        self.assertTrue(ran.out.endswith("\n1 problem\n"), ran)

    def test_doctor_names_what_is_to_be_done(self):
        """Each cause once, and `make` only where that helps: not against a variable."""
        for env, says in (({"GAUNTLET_FRONTEND": "/nonexistent"},
                           ["tools        PROBLEM: GAUNTLET_FRONTEND names '/nonexistent'"]),
                          ({"GAUNTLET_IREE_COMPILER": "/etc/passwd"},
                           ["compiler     PROBLEM: cannot load '/etc/passwd'",
                            "; GAUNTLET_IREE_COMPILER names it"]),
                          ({"GAUNTLET_PYTHON": "/bin/true"},
                           [f"'/bin/true', which GAUNTLET_PYTHON names, has no {thing} beside it"
                            for thing in ("libIREECompiler.so", "libonnxruntime.so", "onnx package")])):
            with self.subTest(env):
                ran = self.gauntlet("doctor", env=env)
                self.assertEqual(ran.code, 2, ran)
                for text in says:
                    self.assertEqual(ran.out.count(text), 1, ran)
                self.assertNotIn("make", ran.out)
                self.assertNotIn("see gauntlet doctor", ran.out)
                count = ran.out.count("PROBLEM")
                self.assertEqual(count, 3 if "GAUNTLET_PYTHON" in env else 1, ran)
                self.assertRegex(ran.out, rf"\n{count} problems?\n\Z")
        ran = self.gauntlet("doctor", env={"GAUNTLET_DEPS": "/nonexistent"})
        self.assertIn("problems; 'make' in the project folder", ran.out)


if __name__ == "__main__":
    unittest.main()
