"""Whole runs of the program on ONNX's own node tests while somebody kills, stops or starves it.

GAUNTLET_BINARY names the program. What must hold: verdicts are of the tests, never of the accident;
no process is left; the run directory can be read and used again at once.
"""

import contextlib
import functools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BINARY = os.path.abspath(os.environ.get("GAUNTLET_BINARY", "build/gauntlet"))
TESTS = ["test_abs", "test_add", "test_exp", "test_neg", "test_ceil", "test_sqrt"]
QUICK = ["--suite", "onnx-node", "--stages", "setup", "construct_inputs"]
PATIENCE = 120  # seconds for a whole run; none takes a tenth of it


def stat(pid):
    """(name, state, parent, session) of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            text = f.read()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2:].split()
    return text[text.index("(") + 1:text.rindex(")")], fields[0], int(fields[1]), int(fields[3])


def processes():
    """pid -> stat of all that live."""
    found = {int(name): stat(name) for name in os.listdir("/proc") if name.isdigit()}
    return {pid: s for pid, s in found.items() if s and s[1] not in "ZX"}


def words(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace").split("\0")
    except OSError:
        return []


@functools.cache
def isolation_had(wanted):
    """What the hosts of this machine have where GAUNTLET_ISOLATION is `wanted`: "", "user" or "none"."""
    env = {**os.environ, "GAUNTLET_ISOLATION": wanted}
    text = subprocess.run([BINARY, "doctor"], env=env, capture_output=True, text=True, check=False).stdout
    line = next(line for line in text.splitlines() if line.startswith("isolation "))
    return {"pid namespace": "", "pid namespace in a user namespace": "user",
            "process group": "none"}[line.split(maxsplit=1)[1]]


def marked(marker):
    """Ids of the processes in whose environment only one run could have put its marker."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if marker.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found


def read_events(folder):
    """What the journal of a run directory holds by now; a torn last line is left out."""
    try:
        with open(os.path.join(folder, "events.jsonl"), encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]
    except FileNotFoundError:
        return []


class Case(unittest.TestCase):
    """What tests of runs under faults are written with."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="gauntlet-faults-")
        self.run_folder = os.path.join(self.folder, "run")
        self.started = []
        self.sessions = set()
        self.addCleanup(self.clean)

    def clean(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
            process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *arguments, folder=None, **environment):
        """Start a run in a process group of its own, as a shell does."""
        env = {k: v for k, v in os.environ.items() if k != "GAUNTLET_ISOLATION"}
        env.update(environment)
        command = [BINARY, "run", "-r", folder or self.run_folder, "--expect", "none",
                   "--reference", "ort", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                                   text=True, cwd=self.folder, process_group=0)
        self.started.append(process)
        return process

    def finish(self, process):
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err

    def hosts(self, process):
        """Pids of the hosts by kind. Each leads a session, which is noted to find what is left."""
        kinds = {}
        for pid, s in processes().items():
            line = words(pid)
            if s[2] != process.pid or "host" not in line or s[3] != pid:
                continue
            self.sessions.add(pid)
            kinds["frontend" if "-I" in line else line[line.index("host") + 1]] = pid
        return kinds

    def wait_for(self, what, process, limit=60):
        until = time.monotonic() + limit
        while time.monotonic() < until:
            value = what()
            if value:
                return value
            if process.poll() is not None:
                self.fail(f"the run has ended: {process.communicate()}")
            time.sleep(0.01)
        self.fail("waited in vain")

    def wait_for_hosts(self, process):
        return self.wait_for(lambda: (lambda k: k if len(k) == 5 else None)(self.hosts(process)),
                             process)

    def events(self):
        return read_events(self.run_folder)

    def wait_for_stage(self, process, stage, kind="stage-start", count=1):
        def seen():
            return sum(e["event"] == kind and e.get("stage") == stage
                       for e in self.events()) >= count
        self.wait_for(seen, process)

    def wait_for_child(self, process, kind):
        """(supervisor, child) of a job of that host. It may end at any moment: see hold_child."""
        def look():
            host = self.hosts(process).get(kind)
            for child, s in processes().items():
                # Only jobs have entered a folder of the run: a host that starts has children too.
                if s[3] == host and self.works_here(child) and not self.works_here(s[2]):
                    return s[2], child
            return None
        return self.wait_for(look, process)

    def works_here(self, pid):
        try:
            return os.readlink(f"/proc/{pid}/cwd").startswith(self.folder + "/")
        except OSError:
            return False

    def hold_child(self, process, kind):
        """(supervisor, child) of a job of that host, which does not end before let_go."""
        while True:
            supervisor, child = self.wait_for_child(process, kind)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP)
            while (now := stat(child)) and now[1] not in "TZX":
                time.sleep(0.001)
            if now and now[1:3] == ("T", supervisor):  # else it was ending: the next one
                return supervisor, child

    @staticmethod
    def let_go(child):
        os.kill(child, signal.SIGCONT)

    def assert_nobody_left(self, limit=20):
        until = time.monotonic() + limit
        while True:
            left = {pid: s for pid, s in processes().items() if s[3] in self.sessions}
            if not left:
                return
            if time.monotonic() > until:
                self.fail(f"processes are left: {left}")
            time.sleep(0.01)

    def results(self):
        with open(os.path.join(self.run_folder, "results.json"), encoding="utf-8") as f:
            return json.load(f)

    def statuses(self):
        return {t["test"]: t["status"] for t in self.results()["tests"]}

    def assert_all_pass(self, process, tests):
        code, out, err = self.finish(process)
        self.assertEqual(self.statuses(), {t: "PASS" for t in tests}, out + err)
        self.assertEqual((code, err), (0, ""))
        self.assert_nobody_left()


class Faults(Case):
    # --- kills

    def test_hosts_killed(self):
        process = self.start("-j", "2", *TESTS)
        hosts = self.wait_for_hosts(process)
        self.hold_child(process, "compiler")
        for kind in ["compiler", "plain", "frontend", "runtime", "reference"]:
            os.kill(hosts[kind], signal.SIGKILL)
        self.assert_all_pass(process, TESTS)
        tried = [e for e in self.events() if e["event"] == "stage-end" and not e["ok"]]
        self.assertTrue(tried)
        self.assertEqual({e["why"] for e in tried}, {"host"})

    def test_supervisor_killed(self):
        process = self.start("-j", "1", *TESTS[:2])
        supervisor, _ = self.hold_child(process, "compiler")
        os.kill(supervisor, signal.SIGKILL)
        self.assert_all_pass(process, TESTS[:2])
        self.assertEqual([e["why"] for e in self.events()
                          if e["event"] == "stage-end" and not e["ok"]], ["host"])

    def test_child_killed(self):
        process = self.start("-j", "1", *TESTS[:2])
        _, child = self.hold_child(process, "compiler")
        os.kill(child, signal.SIGKILL)
        self.assert_all_pass(process, TESTS[:2])
        self.assertEqual([e["why"] for e in self.events()
                          if e["event"] == "stage-end" and not e["ok"]], ["killed"])

    def test_child_crashes(self):
        """A crash is the compiler's own, and is not tried again."""
        process = self.start("-j", "1", *TESTS)
        _, child = self.hold_child(process, "compiler")
        os.kill(child, signal.SIGSEGV)
        self.let_go(child)
        code, _, err = self.finish(process)
        self.assertEqual((code, err), (1, ""))
        ends = sorted((t["status"], t["why"]) for t in self.results()["tests"])
        self.assertEqual(ends, [("PASS", "")] * (len(TESTS) - 1) + [("compilation", "crash:SIGSEGV")])
        test = next(t["test"] for t in self.results()["tests"] if t["why"])
        with open(os.path.join(self.run_folder, test, "compilation.log"), encoding="utf-8") as f:
            self.assertIn("gauntlet stage compilation", f.read())
        self.assert_nobody_left()

    def test_runner_killed(self):
        process = self.start("-j", "2", *TESTS)
        self.wait_for_hosts(process)
        self.hold_child(process, "compiler")
        process.kill()
        process.wait()
        self.assert_nobody_left()
        report = subprocess.run([BINARY, "report", self.run_folder], capture_output=True, text=True,
                                check=False, timeout=PATIENCE)
        self.assertEqual(report.returncode, 6, report.stderr)  # incomplete
        self.assert_all_pass(self.start("-j", "2", *TESTS[:2]), TESTS[:2])

    # --- signals

    def interrupted(self, process, number):
        code, _, err = self.finish(process)
        self.assertEqual((code, err), (-number, ""))
        self.assert_nobody_left()
        self.assertFalse(self.results()["complete"])
        self.assertEqual(self.events()[-1]["event"], "run-end")
        self.assertEqual(self.events()[-1]["reason"], "interrupted")
        self.assertFalse(os.path.exists(os.path.join(self.run_folder, "tmp")))
        for test in self.results()["tests"]:  # nobody is blamed
            self.assertIn(test["status"], ("PASS", "", None), test)

    def test_interrupted_once(self):
        process = self.start("-j", "2", *TESTS)
        self.wait_for_hosts(process)
        _, child = self.hold_child(process, "compiler")
        os.killpg(process.pid, signal.SIGINT)  # as the terminal sends it
        self.let_go(child)
        self.interrupted(process, signal.SIGINT)

    def test_interrupted_twice(self):
        process = self.start("-j", "2", *TESTS)
        self.wait_for_hosts(process)
        self.hold_child(process, "compiler")  # which nobody lets go
        began = time.monotonic()
        while process.poll() is None:  # two that come at once are one
            process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        self.interrupted(process, signal.SIGTERM)
        self.assertLess(time.monotonic() - began, 8)  # the grace is 10 s

    def test_interrupted_while_hosts_start(self):
        for delay in (0.0, 0.01, 0.05, 0.2):
            process = self.start("-j", "2", *TESTS)
            self.wait_for(lambda: self.hosts(process), process)  # pylint: disable=W0640
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGINT)
            code, _, err = self.finish(process)
            self.assertEqual((code, err), (-signal.SIGINT, ""))
            self.assert_nobody_left()
            shutil.rmtree(self.run_folder)

    def test_stopped_for_a_while(self):
        """Ctrl-Z: what ended in time while the runner slept has ended in time."""
        process = self.start("-j", "4", "--timeout", "2", *QUICK, "-t", "test_[a-c].*")
        self.wait_for_stage(process, "setup", "stage-end", 5)
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        _, _, err = self.finish(process)
        self.assertEqual(err, "")
        self.assertNotIn("timeout", {t["why"] for t in self.results()["tests"]})
        self.assertTrue(self.results()["complete"])

    # --- the directory

    def test_second_runner(self):
        process = self.start("-j", "2", *TESTS)
        _, child = self.hold_child(process, "compiler")
        second = self.start("test_abs")
        code, out, err = self.finish(second)
        self.assertEqual((code, out), (2, ""))
        self.assertIn("another gauntlet is running in", err)
        self.assertEqual(err.count("\n"), 1)
        self.let_go(child)
        self.assert_all_pass(process, TESTS)

    def test_full_disk(self):
        small = os.path.join(self.folder, "small")
        os.mkdir(small)
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", small],
                               capture_output=True, text=True, check=False)
        if mount.returncode:
            self.skipTest(f"may not mount a small file system: {mount.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", small], check=True)
        self.run_folder = os.path.join(small, "run")
        process = self.start("-j", "2", *QUICK)
        code, _, err = self.finish(process)
        self.assertEqual(code, 3, err)
        self.assertRegex(err, "No space left on device|is full: make room")
        self.assertEqual(err.count("gauntlet: "), err.count("\n"), err)
        # The journal is whole up to the last line that found room, and nobody is blamed.
        report = subprocess.run([BINARY, "report", self.run_folder], capture_output=True, text=True,
                                check=False, cwd=self.folder, timeout=PATIENCE)
        self.assertNotIn("damaged", report.stderr)
        ended = [e for e in self.events() if e["event"] == "test-end"]
        self.assertTrue(ended)
        for event in ended:
            self.assertNotIn("No space left", event["message"], event["test"])
        self.assert_nobody_left()

    # --- weaker isolation, many jobs

    def test_weaker_isolation(self):
        for kind in ("user", "none"):
            with self.subTest(kind):
                process = self.start("-j", "2", *TESTS, GAUNTLET_ISOLATION=kind)
                _, child = self.hold_child(process, "compiler")
                self.let_go(child)
                self.assert_all_pass(process, TESTS)
                process = self.start("-j", "2", *TESTS, GAUNTLET_ISOLATION=kind)
                self.hold_child(process, "compiler")
                process.kill()
                process.wait()
                self.assert_nobody_left()

    def test_nothing_grows(self):
        """Thousands of jobs: neither the runner nor the host gains memory or descriptors."""
        process = self.start("-j", "8", "--no-artifacts", *QUICK)
        self.wait_for_stage(process, "construct_inputs", "stage-end", 100)
        host = self.hosts(process)["plain"]

        def measure():
            sizes = []
            for pid in (process.pid, host):
                with open(f"/proc/{pid}/statm", encoding="ascii") as f:
                    pages = int(f.read().split()[1])
                sizes.append((pages * resource.getpagesize() >> 10,
                              len(os.listdir(f"/proc/{pid}/fd"))))
            return sizes

        samples = []
        while process.poll() is None:
            try:
                samples.append(measure())
            except OSError:
                break
            time.sleep(0.05)
        _, _, err = self.finish(process)
        self.assertEqual(err, "")
        self.assertTrue(self.results()["complete"])
        jobs = sum(e["event"] == "stage-end" for e in self.events())
        self.assertGreater(jobs, 2000)
        third = len(samples) // 3
        for i, name in enumerate(["runner", "host"]):
            early, late = samples[:third], samples[-third:]
            fds = [min(s[i][1] for s in part) for part in (early, late)]
            self.assertLessEqual(fds[1], fds[0] + 16, f"descriptors of the {name}")
            memory = [max(s[i][0] for s in part) for part in (early, late)]
            # The runner keeps every result: some KiB per test. The host keeps nothing.
            allowed = 16 * len(self.results()["tests"]) if i == 0 else 1024
            self.assertLess(memory[1] - memory[0], allowed, f"KiB of the {name}")


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=sys.argv)
