"""Ctrl-Z: jobs and deadlines stand still, nothing is blamed, and the shell gets its terminal.

GAUNTLET_BINARY names the program.
"""

import json
import os
import pty
import signal
import sys
import time
import unittest

from test_faults import BINARY, Case, isolation_had, processes, stat

STAGES = ["setup", "import_model", "preprocessing", "compilation", "construct_inputs",
          "native_inference", "compiled_inference", "postprocessing", "comparison"]
LIMIT = 6  # seconds for a stage; each needs far less, and is stopped for longer


def below(pid):
    """States of all processes below one, whatever session they have made for themselves."""
    all_, found, more = processes(), {}, {pid}
    while more:
        more = {p for p, s in all_.items() if s[2] in more}
        found.update((p, all_[p]) for p in more)
    return found


class Suspend(Case):
    def suite(self, tests):
        path = os.path.join(self.folder, "suspend.fake")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(tests, f)
        return path

    def fakes(self, tests, *arguments, **environment):
        return self.begin(self.suite(tests), *arguments, **environment)

    def begin(self, suite, *arguments, **environment):
        return self.start("--suite", suite, "--torchtolinalg", *arguments, GAUNTLET_FAKE="1",
                          **environment)

    def folder_of(self, isolation):
        return os.path.join(self.folder, f"run-{isolation}")

    def stopped(self, process):
        return self.wait_for(lambda: stat(process.pid)[1] == "T", process)

    def workers(self, process):
        """What runs below supervisors, which have to go on: name and state."""
        hosts = self.hosts(process).values()
        family = below(process.pid)
        watch = {p for p, s in family.items() if s[2] in hosts}
        if isolation_had(self.isolation) == "user":  # a go-between, and then the supervisor
            watch |= {p for p, s in family.items() if s[2] in watch}
        return {p: s for p, s in family.items() if p not in watch and p not in hosts}

    def test_jobs_and_deadlines(self):
        """At every stage, on every kind of host, in every kind of isolation."""
        gate = os.path.join(self.folder, "gate")
        suite = self.suite({stage: {stage: f"leak:2+until:{gate}"} for stage in STAGES})
        runs, before = {}, {}
        for self.isolation in ("", "user", "none"):
            process = self.begin(suite, "-j", "9", "--timeout", str(LIMIT),
                                 GAUNTLET_ISOLATION=self.isolation,
                                 folder=self.folder_of(self.isolation))
            self.wait_for(lambda: len(self.workers(process)) >= 3 * len(STAGES), process)
            os.killpg(process.pid, signal.SIGTSTP)  # as the terminal sends it
            self.stopped(process)
            self.wait_for(lambda: all(s[1] == "T" for s in self.workers(process).values()), process)
            runs[self.isolation], before[self.isolation] = process, self.workers(process)
        time.sleep(LIMIT + 0.5)
        for self.isolation, process in runs.items():
            self.assertEqual(self.workers(process), before[self.isolation])  # nothing has ended
        with open(gate, "w", encoding="utf-8"):
            pass
        for self.isolation, process in runs.items():
            os.killpg(process.pid, signal.SIGCONT)
        for self.isolation, process in runs.items():
            with self.subTest(self.isolation):
                self.run_folder = self.folder_of(self.isolation)
                self.assert_all_pass(process, sorted(STAGES))
                self.assertFalse(any(t["flaky"] for t in self.results()["tests"]))
                ends = [e for e in self.events() if e["event"] == "stage-end"]
                self.assertEqual(len(ends), 9 * 9)
                self.assertLess(max(e["seconds"] for e in ends), LIMIT)

    def test_grace(self):
        """What may still end after Ctrl-C may do so for as long as it runs."""
        gate = os.path.join(self.folder, "gate")
        process = self.fakes({"a": {"setup": f"until:{gate}"}, "never": {}}, "-j", "1", "--stages",
                             "setup", "--timeout", "60")
        self.wait_for_stage(process, "setup")
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGTSTP)
        self.stopped(process)
        time.sleep(10.5)  # the grace is 10 s
        process.send_signal(signal.SIGCONT)
        time.sleep(0.7)
        with open(gate, "w", encoding="utf-8"):
            pass
        code, _, err = self.finish(process)
        self.assertEqual((code, err), (-signal.SIGINT, ""))
        self.assertEqual({t["test"]: t["status"] for t in self.results()["tests"]},
                         {"a": "PASS", "never": ""})

    def test_nobody_could_continue_us(self):
        """The leader of a terminal's session, as in a container: Ctrl-Z does nothing, Ctrl-C all."""
        suite = self.suite({"a": {"setup": "sleep"}})
        pid, master = pty.fork()
        if pid == 0:
            os.environ["GAUNTLET_FAKE"] = "1"
            os.execv(BINARY, [BINARY, "run", "-r", self.run_folder, "--suite", suite])
        journal = os.path.join(self.run_folder, "events.jsonl")
        until = time.monotonic() + 30
        text = ""
        while time.monotonic() < until and "stage-start" not in text:
            time.sleep(0.02)
            if os.path.exists(journal):
                with open(journal, encoding="utf-8") as f:
                    text = f.read()
        os.write(master, b"\x1a")
        time.sleep(0.5)
        self.assertNotIn(stat(pid)[1], "TtZ")
        os.write(master, b"\x03")
        time.sleep(0.2)
        os.write(master, b"\x03")
        _, status = os.waitpid(pid, 0)
        os.close(master)
        self.assertEqual(os.waitstatus_to_exitcode(status), -signal.SIGINT)

    def test_ignored_from_the_start(self):
        """nohup, and "&" in a script: what was ignored stays ignored."""
        suite = self.suite({"a": {"setup": "sleep:1500"}})
        for number in (signal.SIGHUP, signal.SIGINT):
            with self.subTest(number):
                before = signal.signal(number, signal.SIG_IGN)  # what a child inherits
                process = self.start("--suite", suite, GAUNTLET_FAKE="1")
                signal.signal(number, before)
                for _ in range(8):
                    time.sleep(0.1)
                    process.send_signal(number)
                code, out, err = self.finish(process)
                self.assertEqual((code, err), (0, ""), out)

    def test_asked_before_anything_runs(self):
        """SIGUSR1 at any moment ends nothing."""
        for delay in (0.005, 0.02, 0.05, 0.1, 0.2):
            process = self.start("--suite", "onnx-node", "test_abs", "-a=--iree-opt-level=O3",
                                 "--stages", "setup", "compilation")
            time.sleep(delay)
            while process.poll() is None:
                process.send_signal(signal.SIGUSR1)
                time.sleep(0.01)
            code, out, err = self.finish(process)
            self.assertEqual((code, err), (1, ""), out)  # there is nothing to compile

    def test_again_and_again(self):
        self.isolation = ""
        tests = {f"t{i}": {stage: "sleep:30" for stage in STAGES} for i in range(6)}
        tests["late"] = {"compilation": "leak+sleep"}
        process = self.fakes(tests, "-j", "4", "--timeout", str(LIMIT), "--retries", "timeout=0")
        for _ in range(12):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTSTP)
                time.sleep(0.3)
                os.killpg(process.pid, signal.SIGCONT)
                time.sleep(0.07)
        code, _, err = self.finish(process)
        self.assertEqual((code, err), (1, ""))
        ends = {t["test"]: (t["status"], t["why"]) for t in self.results()["tests"]}
        self.assertEqual(ends.pop("late"), ("compilation", "timeout"))  # there still are limits
        self.assertEqual(set(ends.values()), {("PASS", "")})
        self.assert_nobody_left()

    def test_killed_while_stopped(self):
        """What is stopped dies too."""
        for self.isolation in ("", "user", "none"):
            for number in (signal.SIGKILL, signal.SIGTERM):
                with self.subTest(self.isolation, signal=number):
                    process = self.fakes({"a": {"compilation": "leak:2+sleep"}, "b": {
                        "import_model": "stubborn"}}, "-j", "2", GAUNTLET_ISOLATION=self.isolation)
                    self.wait_for(lambda: len(self.workers(process)) >= 4, process)
                    os.killpg(process.pid, signal.SIGTSTP)
                    self.stopped(process)
                    for signal_ in (number, signal.SIGCONT, number):
                        os.killpg(process.pid, signal_)
                        time.sleep(0.05)
                    code, _, _ = self.finish(process)
                    self.assertEqual(code, -number)
                    self.assert_nobody_left()


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=sys.argv)
