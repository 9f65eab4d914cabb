"""The key t, on real terminals and under real shells: what it shows, and that it leaves no trace."""

import contextlib
import fcntl
import json
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
import unittest

import support
from support import write_text

LONG = "a_name_as_long_as_those_of_some_tests_are_" + "n" * 60
SINGLE = termios.ICANON | termios.ECHO  # off where keys are taken


class Terminal:
    """A terminal of 80 columns with one program in it, which is in its foreground."""

    def __init__(self, folder, *command, stdin=None, stdout=None):
        # The slave stays open here, so that its settings can be seen when the program is gone.
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = self.settings()
        self.seen = ""
        self.process = subprocess.Popen(
            command, cwd=folder, env=support.environment(GAUNTLET_FAKE="1", PS1="ready> "),
            stdin=self.slave if stdin is None else stdin,
            stdout=self.slave if stdout is None else stdout, stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0))

    def settings(self):
        return termios.tcgetattr(self.slave)

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        return self.seen

    def expect(self, pattern):
        """Wait until it has printed that; what came up to there is forgotten."""
        until = time.monotonic() + support.PATIENCE
        while not (found := re.search(pattern, self.read())):
            if time.monotonic() > until:
                raise AssertionError(f"{pattern!r} does not come: {self.seen[-2000:]!r}")
            time.sleep(0.01)
        self.seen = self.seen[found.end():]
        return found

    def become(self, single):
        """Wait until single keys are taken, or no longer."""
        until = time.monotonic() + support.PATIENCE
        while bool(self.settings()[3] & SINGLE) == single:
            self.read()
            if time.monotonic() > until:
                raise AssertionError(f"never: {single}; {self.seen[-2000:]!r}")
            time.sleep(0.01)

    def type(self, text):
        os.write(self.master, text.encode())

    def wait(self):
        until = time.monotonic() + support.PATIENCE
        while self.process.poll() is None and time.monotonic() < until:
            self.read()
            time.sleep(0.01)
        self.read()
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        for fd in (self.master, self.slave):
            with contextlib.suppress(OSError):  # closed before
                os.close(fd)
        self.master = self.slave = -1


class Keyboard(support.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_text(cls.path("slow.fake"), json.dumps({"slow": {"compilation": "sleep"}}))
        write_text(cls.path("long.fake"), json.dumps({LONG: {"compiled_inference": "sleep"}}))
        gate = cls.path("brief.gate")  # not there before a test opens it
        write_text(cls.path("brief.fake"), json.dumps({"brief": {"compilation": f"until:{gate}"}}))

    def command(self, suite="slow", *more):
        return [support.BINARY, "run", "--suite", f"{suite}.fake", "-r", self.folder(), *more]

    def folder(self):
        return self.id().rsplit(".", 1)[1]

    def terminal(self, *command, **options):
        terminal = Terminal(self.here, *command, **options)
        self.addCleanup(terminal.close)
        return terminal

    def journal(self):
        return b"".join(support.journal(self.path(self.folder()))).decode()

    def wait_for_journal(self, terminal, text):
        until = time.monotonic() + support.PATIENCE
        while text not in self.journal():
            terminal.read()  # what nobody reads would stop the run
            if time.monotonic() > until:
                self.fail(f"{text} does not come: {terminal.read()[-2000:]!r}")
            time.sleep(0.02)

    def runs(self, terminal, stage="compilation"):
        """Wait until the stage that never ends has begun and keys are taken."""
        self.wait_for_journal(terminal, f'"stage":"{stage}"')
        terminal.become(single=True)

    def test_what_it_shows(self):
        terminal = self.terminal(*self.command("slow", "--timeout", "90"))
        self.runs(terminal)
        now = terminal.settings()
        self.assertEqual([now[i] for i in (0, 1, 2)], [terminal.before[i] for i in (0, 1, 2)])
        self.assertEqual(now[3], terminal.before[3] & ~SINGLE)  # Ctrl-C and Ctrl-Z are as ever
        for key in "tT":
            terminal.read()
            terminal.seen = ""
            terminal.type(f"x \x04{key}")
            found = terminal.expect(r"1 running\r\n +(\d\.\d\d|\d\d\.\d) s of 90 s +"
                                    r"compilation +slow\r\n")
            self.assertNotRegex(found.string[:found.end()], f"x|{key}[^a-z]")  # no echo
        with self.ends_at_once(self.folder()):
            self.interrupt_twice(terminal)
            self.assertEqual(terminal.wait(), -signal.SIGINT)
        self.assertEqual(terminal.settings(), terminal.before)

    def interrupt_twice(self, terminal):
        """The answer to a key that was typed behind the first says that this has arrived: two that
        come at once are one."""
        terminal.read()
        terminal.seen = ""
        terminal.type("\x03t")
        terminal.expect(r"1 running\r\n")
        terminal.type("\x03")

    def shows_on_signal(self, terminal):
        """All lines, as those of the next answer come behind them."""
        for _ in range(2):
            terminal.process.send_signal(signal.SIGUSR1)
            text = terminal.expect(r"(?s)\A(.*?)1 running\r\n")[1]
        lines = re.match(r"(?:  [^\r\n]*\r\n)+", text)[0].split("\r\n")
        self.assertLess(len(lines[0]), 80)
        return lines[:-1]

    def test_long_name(self):
        terminal = self.terminal(*self.command("long", "--timeout", "1h"))
        self.runs(terminal, "compiled_inference")
        lines = self.shows_on_signal(terminal)
        self.assertRegex(lines[0], r"\A  (\d\.\d\d|\d\d\.\d) s of 3600 s +compiled_inference\Z")
        self.assertEqual(lines[1:], [f"    {LONG}"])  # whole, to be copied

    def test_retry(self):
        terminal = self.terminal(*self.command("slow", "--timeout", "90"))
        self.runs(terminal)
        # What was killed from outside is tried again.
        for pid in support.wait_for(lambda: support.working_in(self.path(self.folder()))):
            with contextlib.suppress(ProcessLookupError):  # it went with another one
                os.kill(pid, signal.SIGKILL)
        self.wait_for_journal(terminal, '"attempt":2')
        lines = self.shows_on_signal(terminal)
        self.assertEqual(len(lines), 1)
        self.assertRegex(lines[0], r"\A  (\d\.\d\d|\d\d\.\d) s of 90 s +compilation, attempt 2  slow\Z")

    def test_every_end(self):
        """Whatever ends the run, the terminal is as it was."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT,
                       signal.SIGSEGV):
            with self.subTest(number):
                terminal = self.terminal(*self.command())
                self.runs(terminal)
                support.send(terminal.process, number)
                if number in (signal.SIGTERM, signal.SIGHUP):
                    terminal.process.send_signal(number)
                ours = number == signal.SIGSEGV and "ASAN_OPTIONS" in os.environ
                # A sanitizer makes an exit code of its own of it.
                self.assertEqual(terminal.wait(), 86 if ours else -number)
                self.assertEqual(terminal.settings(), terminal.before)
                shutil.rmtree(self.path(self.folder()))
        terminal = self.terminal(*self.command("brief"))
        terminal.become(single=True)
        self.open("brief.gate")
        self.addCleanup(os.remove, self.path("brief.gate"))
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.settings(), terminal.before)

    def test_hard_kill(self):
        """Nobody can clean up: what is left are lines and echo, which stty sane brings back."""
        terminal = self.terminal(*self.command())
        self.runs(terminal)
        terminal.process.kill()
        terminal.process.wait()
        self.assertEqual(terminal.settings()[3], terminal.before[3] & ~SINGLE)
        subprocess.run(["stty", "sane"], stdin=terminal.slave, check=True)
        self.assertEqual(terminal.settings()[3] & SINGLE, SINGLE)

    def test_not_a_terminal(self):
        """Streams that lead elsewhere: the terminal is left alone."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        for streams in ({"stdin": subprocess.DEVNULL}, {"stdin": reading}, {"stdout": writing}):
            terminal = self.terminal(*self.command(), **streams)
            self.wait_for_journal(terminal, '"stage":"compilation"')
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                self.assertEqual(terminal.settings(), terminal.before)
            terminal.type("t")
            time.sleep(0.3)
            self.assertNotIn(" running\r\n", terminal.read())
            terminal.close()
            shutil.rmtree(self.path(self.folder()))

    def under_shell(self, *shell):
        terminal = self.terminal(*shell)
        terminal.expect("ready> ")
        command = " ".join(self.command("slow", "--timeout", "90"))
        terminal.type(f"{command}\n")
        self.runs(terminal)
        terminal.type("t")
        terminal.expect(r"1 running\r\n")
        # Stopped: the shell finds its terminal as it was, and says so itself.
        terminal.type("\x1a")
        terminal.expect("ready> ")
        terminal.type("stty -a | tr ' ;' '\\n\\n' | grep -xE -e '-?(icanon|echo|isig)' | xargs echo =\n")
        self.assertEqual(terminal.expect(r"[\r\n]= ([^\r\n]*)")[1], "isig icanon echo")
        terminal.expect("ready> ")
        time.sleep(1.5)  # which does not count
        self.foreground(terminal)
        terminal.type("t")
        shown = terminal.expect(r"1 running\r\n +(\d+\.\d+) s of")
        return terminal, float(shown[1])

    def foreground(self, terminal):
        """In the foreground again; that single keys are taken may be the shell's own doing before."""
        terminal.type("fg\n")
        terminal.expect(r"run --suite slow\.fake ")
        terminal.become(single=True)

    def test_shells(self):
        for shell in (["bash", "--norc", "--noprofile", "-i"], ["dash", "-i"]):
            with self.subTest(shell[0]):
                if not shutil.which(shell[0]):
                    self.skipTest(f"there is no {shell[0]}")
                began = time.monotonic()
                terminal, shown = self.under_shell(*shell)
                self.assertLess(shown, time.monotonic() - began - 1.4)
                # In the background it runs on, without the terminal.
                terminal.type("\x1a")
                terminal.expect("ready> ")
                terminal.type("bg\n")
                terminal.expect("ready> ")
                terminal.type("jobs; echo settings $((1 + 1))\n")
                terminal.expect(r"(?s)Running.*settings 2\r\n")
                terminal.expect("ready> ")
                time.sleep(0.5)
                terminal.seen = ""
                terminal.type("echo t$((2 + 3))\n")  # the shell's to read, all of it
                terminal.expect(r"t5\r\n")
                terminal.type("jobs; echo again $((1 + 1))\n")
                terminal.expect(r"(?s)Running.*again 2\r\n")  # no SIGTTIN, no SIGTTOU
                # And back, to its end.
                self.foreground(terminal)
                self.interrupt_twice(terminal)
                terminal.expect("ready> ")
                terminal.type("echo left $(stty -a | grep -cE -e '-(icanon|echo)( |;|$)')\n")
                terminal.expect(r"left 0\r\n")
                terminal.type("exit\n")
                terminal.wait()
                shutil.rmtree(self.path(self.folder()))

    def test_started_in_background(self):
        """It never has the foreground, and ends all the same."""
        terminal = self.terminal("bash", "--norc", "--noprofile", "-i")
        terminal.expect("ready> ")
        terminal.type("set +o emacs; " + " ".join(self.command("brief")) + " &\n")
        self.wait_for_journal(terminal, '"stage":"compilation"')
        self.open("brief.gate")
        self.addCleanup(os.remove, self.path("brief.gate"))
        terminal.expect(r"1 tests? in ")
        terminal.type("\nwait; echo settings $((3 + 4)) $?\n")
        terminal.expect(r"settings 7 0\r\n")


if __name__ == "__main__":
    unittest.main()
