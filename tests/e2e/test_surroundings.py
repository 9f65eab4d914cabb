"""How the program is started, and who reads what it prints: neither may cost a run anything."""

import contextlib
import fcntl
import json
import os
import pty
import re
import resource
import select
import signal
import socket
import subprocess
import time
import unittest

import support
from support import write_text

PIPE_SIZE = 4096
LONG = "x" * 500
ALL_SIGNALS = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}


def block(*numbers):
    return lambda: signal.pthread_sigmask(signal.SIG_BLOCK, numbers)


class Case(support.TestCase):
    def suite(self, **tests):
        path, text = self.path("suite.fake"), json.dumps(tests)
        if not os.path.exists(path) or support.read_text(path) != text:  # a run may want to go on
            write_text(path, text)
        return path

    def start(self, folder, *arguments, tests=None, **options):
        suite = self.suite(**(tests or {"good": {}, "bad": {"compilation": "segv"}}))
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
                   "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen(
            [support.BINARY, "run", "-r", folder, "--suite", suite, *arguments], cwd=self.here,
            env=support.environment(GAUNTLET_FAKE="1", TERM="dumb"), **options)
        self.addCleanup(process.stderr.close if process.stderr else lambda: None)
        self.addCleanup(process.wait, support.PATIENCE)
        self.addCleanup(process.kill)
        return process

    def events(self, folder):
        return [json.loads(line) for line in support.journal(self.path(folder))]

    def wait_for(self, what, process):
        return support.wait_for(what, process)

    def wait_for_event(self, folder, kind, process, **fields):
        self.wait_for(lambda: any(e["event"] == kind and fields.items() <= e.items()
                                  for e in self.events(folder)), process)


class Signals(Case):
    def test_blocked(self):
        """Daemons and threaded launchers hand on what they have blocked."""
        process = self.start("blocked", preexec_fn=block(*ALL_SIGNALS))
        self.assertEqual(process.wait(support.PATIENCE), 1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                folder = f"blocked{int(number)}"
                process = self.start(folder, tests={"a": {"setup": "sleep"}},
                                     preexec_fn=block(*ALL_SIGNALS))
                self.wait_for_event(folder, "stage-start", process)
                with self.ends_at_once(folder):
                    support.send(process, number)
                    process.send_signal(number)
                    self.assertEqual(process.wait(support.PATIENCE), -number)

    def test_other_commands(self):
        """They have children too."""
        self.assertEqual(self.start("others").wait(support.PATIENCE), 1)
        suite = self.path("suite.fake")
        python = write_text(self.path("a.py"), "from gauntlet import OnnxTest, register\n"
                                               "@register('a')\nclass A(OnnxTest): pass\n")
        for start in (block(*ALL_SIGNALS), lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)):
            for arguments in (["doctor"], ["list", "--suite", suite], ["list", "--suite", python],
                              ["run", "--suite", suite, "good", "-r", "others"]):
                with self.subTest(arguments):
                    ran = subprocess.run(
                        [support.BINARY, *arguments], cwd=self.here, capture_output=True,
                        stdin=subprocess.DEVNULL, timeout=60, preexec_fn=start,
                        env=support.environment(GAUNTLET_FAKE="1"))
                    self.assertEqual(ran.returncode, 0, ran)

    def test_after_max_failures(self):
        """What runs is in its grace already: the first Ctrl-C changes nothing, the second ends it."""
        arguments = ["-j", "2", "--max-failures", "1", "--stages", "setup"]
        for times, status in ((1, "PASS"), (2, "")):
            with self.subTest(times):
                folder = f"enough{times}"
                tests = {"a": {"setup": "error"}, "never": {},
                         "b": {"setup": f"until:{self.path(folder + '.gate')}"}}
                process = self.start(folder, *arguments, tests=tests)
                self.wait_for_event(folder, "test-end", process, test="a")
                for _ in range(times):
                    support.send(process, signal.SIGINT)
                if times == 1:
                    time.sleep(0.5)
                    self.assertIsNone(process.poll())
                    self.open(folder + ".gate")
                self.assertEqual(process.wait(support.PATIENCE), -signal.SIGINT)
                run = support.Run(self.path(folder))
                self.assertEqual([run[t]["status"] for t in ("a", "b", "never")],
                                 ["setup", status, ""])
                self.assertEqual(self.events(folder)[-1]["reason"], "max-failures")


class Streams(Case):
    def closed(self, redirection, *arguments):
        return subprocess.run(["sh", "-c", f'exec "$0" "$@" {redirection}', support.BINARY, *arguments],
                              cwd=self.here, env=support.environment(GAUNTLET_FAKE="1"), timeout=60,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def test_closed(self):
        """Where a file of ours would be opened instead, what is printed would end up in it."""
        suite = self.suite(good={}, bad={"compilation": "segv"})
        for number, closed in enumerate(("<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-",
                                         "<&- >&- 2>&-")):
            with self.subTest(closed):
                folder = f"closed{number}"
                ran = self.closed(closed, "run", "--suite", suite, "-r", folder)
                self.assertEqual((ran.returncode, ran.stderr), (1, ""))
                run = support.Run(self.path(folder))
                self.assertEqual((run.end("good")[0], run.end("bad")[0]), ("PASS", "compilation"))
                self.assertTrue(run.results["complete"])
                ran = self.closed(closed, "report", folder)
                self.assertEqual((ran.returncode, ran.stderr), (1, ""))
                # A list that nobody can have got is no success.
                unseen = " >&-" in f" {closed}"
                for arguments in (["list", "--suite", suite], ["doctor"], ["--help"]):
                    ran = self.closed(closed, *arguments)
                    self.assertEqual(ran.returncode, 3 if unseen else 0, (arguments, ran))
                    if unseen and "2" not in closed:
                        self.assertIn("cannot write to standard output", ran.stderr)

    def test_full(self):
        """The files are there, but not all was said."""
        suite = self.suite(good={})
        ran = self.closed(">/dev/full", "run", "--suite", suite, "-r", "full")
        self.assertEqual(ran.returncode, 3, ran)
        self.assertRegex(ran.stderr, r"\Agauntlet: cannot write the summary to standard output: [^\n]+\n\Z")
        self.assertTrue(support.Run(self.path("full")).results["complete"])


class Readers(Case):
    """Who has stopped reading: a pager, a terminal after Ctrl-S, a collector of logs that hangs."""

    def channels(self):
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        yield "pipe", reader, writer
        yield "terminal", *pty.openpty()
        ours, theirs = socket.socketpair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIPE_SIZE)
        yield "socket", ours.detach(), theirs.detach()

    def flood(self):
        return {f"t{i:03}": {"setup": "error:" + LONG} for i in range(200)}

    @staticmethod
    def fill(writer):
        """Leave no room at all."""
        os.set_blocking(writer, False)
        try:
            while os.write(writer, b"-" * 1000):
                pass
        except BlockingIOError:
            pass
        os.set_blocking(writer, True)

    @staticmethod
    def read_all(reader, process):
        text = b""
        until = time.monotonic() + support.PATIENCE
        while time.monotonic() < until:
            ended = process.poll() is not None  # before what it has written is looked for
            ready = select.select([reader], [], [], 0.1)[0]
            piece = b""
            try:
                piece = os.read(reader, 65536) if ready else b""
            except OSError:  # how Linux says that the other side of a terminal is closed
                ready = True
            text += piece
            if not piece and (ready or ended):
                break
        return text.decode()

    def test_deadlines_and_interruptions(self):
        for name, reader, writer in self.channels():
            with self.subTest(name):
                self.fill(writer)
                tests = {"slow": {"setup": "sleep"}, "other": {"setup": "sleep"}, **self.flood()}
                folder = f"stuck-{name}"
                process = self.start(folder, "-j", "2", "--retries", "timeout=0", "--stages",
                                     "setup", "--timeout", "1", tests=tests, stdout=writer,
                                     stderr=writer)
                os.close(writer)
                self.wait_for_event(folder, "test-end", process, test="slow")
                self.wait_for_event(folder, "test-end", process, test="t199")
                # The files are complete before anybody is waited for.
                self.wait_for(lambda f=folder: os.path.exists(self.path(f, "results.json")), process)
                self.assertEqual(support.Run(self.path(folder)).end("slow"), ("setup", "timeout"))
                self.wait_for(lambda f=folder: not os.path.lexists(self.path(f, "tmp")), process)
                time.sleep(0.5)
                self.assertIsNone(process.poll())
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(support.PATIENCE), -signal.SIGTERM)
                os.close(reader)

    def test_interrupted_twice(self):
        """Once while tests run, once more while the summary waits for its reader."""
        for name, reader, writer in self.channels():
            with self.subTest(name):
                self.fill(writer)
                folder = f"twice-{name}"
                gate = folder + ".gate"
                tests = {"nap": {"setup": f"until:{self.path(gate)}"}, **self.flood()}
                process = self.start(folder, "--stages", "setup", stdout=writer, stderr=writer,
                                     tests=tests)
                os.close(writer)
                self.wait_for_event(folder, "stage-start", process, test="nap")
                support.send(process, signal.SIGINT)
                self.open(gate)
                self.wait_for_event(folder, "run-end", process, reason="interrupted")
                self.wait_for(lambda f=folder: os.path.exists(self.path(f, "results.json")), process)
                self.assertEqual(support.Run(self.path(folder)).end("nap"), ("PASS", "partial"))
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(support.PATIENCE), -signal.SIGINT)
                os.close(reader)

    def test_late(self):
        """Nothing is lost for who reads on, in the order in which it came."""
        for name, reader, writer in self.channels():
            with self.subTest(name):
                folder = f"late-{name}"
                process = self.start(folder, "--stages", "setup", "-j", "1", stdout=writer,
                                     stderr=writer, tests=self.flood())
                os.close(writer)
                self.wait_for_event(folder, "run-end", process)
                text = self.read_all(reader, process)
                self.assertEqual(process.wait(support.PATIENCE), 1, text[-300:])
                self.assertEqual(re.findall(r"(?m)FAIL +setup +(t\d+) ", text),
                                 [f"t{i:03}" for i in range(200)])
                self.assertEqual(text.count("200 tests in "), 1)
                self.assertTrue(text.rstrip().endswith("events.jsonl"), text[-300:])
                os.close(reader)

    def test_flags_of_the_stream(self):
        """Others share it: what it does when it is full is theirs to say."""
        for name, reader, writer in self.channels():
            folder, before = f"flags-{name}", fcntl.fcntl(writer, fcntl.F_GETFL)
            tests = {"a": {"setup": f"until:{self.path(folder + '.gate')}"}}
            process = self.start(folder, "--stages", "setup", tests=tests, stdout=writer)
            self.wait_for_event(folder, "stage-start", process)
            self.assertEqual(fcntl.fcntl(writer, fcntl.F_GETFL), before)
            self.open(folder + ".gate")
            self.assertEqual(process.wait(support.PATIENCE), 0)
            os.close(writer)
            os.close(reader)

    def test_reader_goes(self):
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        process = self.start("gone", "--stages", "setup", tests=self.flood(), stdout=writer)
        os.close(writer)
        self.wait_for_event("gone", "run-end", process)
        time.sleep(0.3)
        self.assertIsNone(process.poll())
        os.close(reader)
        self.assertEqual((process.wait(support.PATIENCE), process.stderr.read()), (1, b""))


class Limits(Case):
    def limited(self, limit, folder):
        suite = self.suite(good={}, other={})
        return subprocess.run(["sh", "-c", f'{limit} && exec "$0" "$@"', support.BINARY, "run",
                               "-r", folder, "--suite", suite, "-j", "2"], cwd=self.here, text=True,
                              env=support.environment(GAUNTLET_FAKE="1"), capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=60)

    def test_descriptors(self):
        for limit in (24, 40, 70):
            ran = self.limited(f"ulimit -n {limit}", "refused")
            self.assertEqual((ran.returncode, ran.stdout, ran.stderr), (
                2, "", "gauntlet: the limit of open files (ulimit -n) is too low: a run needs at "
                       "least 71\n"))
            self.assertFalse(os.path.exists(self.path("refused")))
        ran = self.limited("ulimit -n 71", "lowest")
        self.assertEqual((ran.returncode, ran.stderr), (
            0, "gauntlet: 1 test at once, not 2: the limit of open files (ulimit -n) is too low\n"))

    def hold(self, folder):
        """(a run whose first test waits for <folder>.gate, how many descriptors it has open)."""
        tests = {"a": {"setup": f"1000*until:{self.path(folder + '.gate')}"}, "b": {}, "c": {}}
        process = self.start(folder, "-j", "1", tests=tests)
        # The test counts its tries before it waits; who has started it has nothing left to do then.
        self.wait_for(lambda: os.path.exists(self.path(folder, "a", "attempts.setup")) and
                      support.is_idle(process.pid), process)
        return process, len(os.listdir(f"/proc/{process.pid}/fd"))

    def test_no_descriptor_left(self):
        """No test is to blame for that, and the run can go on later."""
        process, used = self.hold("emfile")
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used, used))
        self.open("emfile.gate")
        _, error = process.communicate(timeout=support.PATIENCE)
        self.assertEqual(process.returncode, 3, error)
        self.assertRegex(error.decode(), r"\Agauntlet: [^\n]*Too many open files \(see ulimit -n\)\n\Z")
        run = support.Run(self.path("emfile"))
        self.assertFalse(run.results["complete"])
        self.assertEqual({test["status"] for test in run.tests.values()}, {""})
        ran = self.gauntlet("run", "-r", "emfile", "--suite", self.path("suite.fake"), "-j", "1",
                            "--resume", env={"GAUNTLET_FAKE": "1"})
        self.assertEqual(ran.code, 0, ran)

    def test_no_descriptor_left_for_a_host(self):
        """Its hosts have died, and wherever in the start of new ones there is no descriptor."""
        ended = []
        for more in range(-4, 12):
            with self.subTest(more):
                process, used = self.hold(f"host{more}")
                with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as f:
                    hosts = [int(pid) for pid in f.read().split()]
                resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used + more, used + more))
                for pid in hosts:
                    with contextlib.suppress(ProcessLookupError):  # the run may have ended already
                        os.kill(pid, signal.SIGKILL)
                self.open(f"host{more}.gate")
                _, error = process.communicate(timeout=support.PATIENCE)
                ended.append(process.returncode)
                run = support.Run(self.path(f"host{more}"))
                whole = {"PASS"} if process.returncode == 0 else {"", "PASS"}
                self.assertLessEqual({test["status"] for test in run.tests.values()}, whole, error)
                if process.returncode:
                    self.assertRegex(error.decode().lower(), r"\Agauntlet: [^\n]*too many open files "
                                                             r"\(see ulimit -n\)\n\Z")
        self.assertEqual(set(ended), {0, 3}, ended)

    def test_no_descriptor_left_for_a_folder(self):
        """One that is so deep that emptying it takes more than there are."""
        suite = self.suite(a={}, b={})
        flags = ["run", "-r", "deep", "--suite", suite, "-j", "1"]
        ran = self.gauntlet(*flags, env={"GAUNTLET_FAKE": "1"})
        self.assertEqual(ran.code, 0, ran)
        os.makedirs(self.path("deep", "a", *["d"] * 100))
        ran = subprocess.run(["sh", "-c", 'ulimit -n 75 && exec "$0" "$@"', support.BINARY, *flags],
                             cwd=self.here, env=support.environment(GAUNTLET_FAKE="1"),
                             capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
        self.assertEqual(ran.returncode, 3, ran)
        self.assertIn(b"Too many open files (see ulimit -n)", ran.stderr)
        self.assertEqual({t["status"] for t in support.Run(self.path("deep")).tests.values()}, {""})
        ran = self.gauntlet(*flags, "--resume", env={"GAUNTLET_FAKE": "1"})
        self.assertEqual(ran.code, 0, ran)

    @unittest.skipIf("ASAN_OPTIONS" in os.environ, "a sanitizer's own stack is larger")
    def test_small_stack(self):
        ran = self.limited("ulimit -s 64", "stack")
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
