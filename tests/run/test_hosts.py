"""Hosts that die, hang or change, on order (src/worker/host_fault.h) and by kill: no verdict is lost.

GAUNTLET_BINARY names the program.
"""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import onnx  # noqa: E402

import support  # noqa: E402
from matrix import KINDS, Case, check_schemas, soon  # noqa: E402
from support import stale_groups, working_in, write_text  # noqa: E402

QUICK = ["--stages", "setup", "construct_inputs"]
PYTHON_TEST = """
import subprocess
from gauntlet import OnnxTest, register
from onnx import TensorProto, helper

class Base(OnnxTest):
    def construct_model(self):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
        return helper.make_model(helper.make_graph([helper.make_node("Abs", ["x"], ["y"])],
                                                   "g", [x], [y]), ir_version=10,
                                 opset_imports=[helper.make_opsetid("", 21)])

    def leak(self):
        subprocess.Popen(["sleep", "1000"], start_new_session=True)

@register("clean")
class Clean(Base):
    pass

@register("leaks_early")
class Early(Base):
    def construct_model(self):
        self.leak()
        return super().construct_model()

@register("leaks_and_fails")
class Fails(Base):
    def construct_inputs(self):
        self.leak()
        raise ValueError("no inputs today")
"""


def children(pid):
    """Children of a process that lives; none of one that is gone."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(number) for number in f.read().split()]
    except OSError:
        return []


def find(folder, name):
    return glob.glob(os.path.join(folder, "**", name), recursive=True)[0]


def greeted(pid):
    """Is that a host for one job of the frontend that has said hello, and waits for its order?"""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            own = b"--once\0" in f.read()
        return own and any(os.readlink(f"/proc/{pid}/fd/{fd}") == "anon_inode:[signalfd]"
                           for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


class Hosts(Case):
    def nothing_left(self, folder):  # no limits of memory here: groups there may be are of others
        self.assertEqual(soon(lambda: support.alive(self.marker)), [])
        self.assertEqual(soon(lambda: working_in(self.path(folder))), [])
        self.assertNotIn("tmp", os.listdir(self.path(folder)))

    def notes(self, run):
        """{(host, what, why): count}, the same in the results as in the journal."""
        folded = {(n["host"], n["what"], n["why"]): n["count"] for n in run.results["notes"]}
        told = {}
        for e in run.events():
            if e["event"] == "note":
                key = e["host"], e["what"], e["why"]
                told[key] = told.get(key, 0) + 1
        self.assertEqual(folded, told)
        return folded

    def attempts(self, run, **members):
        return [e for e in run.events() if e["event"] == "stage-end"
                and all(e[k] == v for k, v in members.items())]

    def all_pass(self, run, ran):
        self.assertEqual({name: run.end(name)[0] for name in run.tests},
                         {name: "PASS" for name in run.tests}, ran)

    def faulty(self, name, fault, *arguments, tests=3, code=0, orders=None):
        cases = {f"test_{i}": orders or {} for i in range(tests)}
        ran, run = self.fake(name, cases, *arguments, code=code, env={"GAUNTLET_HOST_FAULT": fault})
        if check_schemas:
            check = check_schemas.validator("events")
            for event in run.events():
                check.validate(event)
            check_schemas.validator("results").validate(run.results)
        return ran, run

    # --- deaths

    def test_dies_at_every_fork(self):
        """Three deaths in a row, then each job has a process of its own."""
        for kind in KINDS:
            with self.subTest(kind):
                # Jobs that take a while: none has reported when its host dies.
                orders = dict.fromkeys(["setup"] * (kind == "plain") + [KINDS[kind]], "memory:1")
                stages = QUICK if kind == "plain" else ()
                ran, run = self.faulty(f"fork-{kind}", f"{kind}:fork", "-j", "1", *stages,
                                       tests=2, orders=orders)
                self.all_pass(run, ran)
                notes = self.notes(run)
                self.assertEqual(notes.pop((kind, "fallback", "death")), 1)
                self.assertEqual(notes, {(kind, "replaced", "death"): 2})
                lost = self.attempts(run, ok=False)
                self.assertEqual({e["why"] for e in lost}, {"host"})
                self.assertLessEqual(max(e["attempt"] for e in lost), 2)
                self.assertEqual(ran.out.count(f"the {kind} host could not be kept 3 times in a row"),
                                 2, ran)  # when it happens, and in the summary
                report = self.gauntlet("report", run.path)
                self.assertIn("from now on each of its jobs has a process of its own",
                              " ".join(report.out.split()))

    def test_dies_before_it_is_ready(self):
        for kind in ("plain", "compiler"):
            ran, run = self.faulty(f"start-{kind}", f"{kind}:start")
            self.all_pass(run, ran)
            self.assertEqual(self.notes(run), {(kind, "replaced", "death"): 2,
                                               (kind, "fallback", "death"): 1})
            self.assertEqual(self.attempts(run, ok=False), [])
            self.assertNotIn("compiler" if kind == "compiler" else "plain",
                             run.results["run"]["tools"])

    def test_own_process_dies_too(self):
        ran, run = self.faulty("own", "compiler+:fork", "-j", "1", tests=2, code=1,
                               orders={"compilation": "memory:1"})
        for name in run.tests:
            self.ends(run, name, "compilation", "host", says="that was for nothing else, is gone")
        self.assertEqual(self.notes(run)["compiler", "fallback", "death"], 1)
        ran, run = self.faulty("own-start", "compiler+:start", tests=2, code=1)
        for name in run.tests:
            self.ends(run, name, "compilation", "host",
                      says="the compiler host died (SIGSEGV) before it was ready")

    def test_dies_after_each_job(self):
        """Jobs are reported between the deaths: these are not in a row."""
        ran, run = self.faulty("idle", "plain:idle", "-j", "1", *QUICK, tests=5)
        self.all_pass(run, ran)
        self.assertEqual(list(self.notes(run)), [("plain", "replaced", "death")])
        self.assertIn("more such", " ".join(ran.out.split()))

    def test_fault_is_for_fake_tests_only(self):
        env = {k: v for k, v in self.fake_env.items() if k != "GAUNTLET_FAKE"}
        ran, run = self.run_tests("real", "test_abs", "--expect", "none", *QUICK, code=0,
                                  env={**env, "GAUNTLET_HOST_FAULT": "plain+:start"})
        self.assertEqual((self.notes(run), len(self.attempts(run))), ({}, 2), ran)

    # --- surprises

    def test_replaced_before_a_fork(self):
        for why in ("thread", "descriptor", "memory", "child"):
            with self.subTest(why):
                ran, run = self.faulty(why, f"plain:{why}", "-j", "2", *QUICK)
                self.all_pass(run, ran)
                self.assertEqual(list(self.notes(run)), [("plain", "replaced", why)])
                self.assertEqual(self.attempts(run, ok=False), [])
                self.assertEqual({e["attempt"] for e in self.attempts(run)}, {1})

    def test_senseless_notices(self):
        for fault in ("garbage", "stranger"):
            ran, run = self.faulty(fault, f"plain:{fault}", "-j", "2", *QUICK)
            self.all_pass(run, ran)
            self.assertIn(("plain", "replaced", "protocol"), self.notes(run))

    def test_job_that_cannot_be_limited(self):
        """It must not run, and no test is to blame: it is tried again, and its log says why."""
        if "cgroup" not in self.gauntlet("doctor").out:
            self.skipTest("no memory cgroups here")
        ran, run = self.faulty("limit", "plain:limit", "-j", "1", "--memory", "64M", *QUICK,
                               tests=1, code=1)
        self.ends(run, "test_0", "setup", "host")
        self.assertEqual([e["why"] for e in self.attempts(run)], ["host", "host"], ran)
        self.assertIn("a job cannot be put under its limit of memory: No space left on device",
                      support.read_text(run.file("test_0", "setup.log")))
        self.assertEqual(self.notes(run), {})
        self.assertEqual(set(stale_groups()) - self.groups, set())

    # --- kills

    def start(self, name, tests, *arguments):
        command = [support.BINARY, "run", "-r", name, "--suite", self.write_fake(name, tests),
                   *arguments]
        return subprocess.Popen(command, cwd=self.here, stdout=subprocess.PIPE, text=True,
                                stderr=subprocess.STDOUT, env=support.environment(**self.fake_env))

    def wait_for(self, what):
        until = time.monotonic() + 60
        while not (value := what()):
            self.assertLess(time.monotonic(), until, "waited in vain")
            time.sleep(0.01)
        return value

    def host_of(self, process, kind):
        def look():
            for pid in support.alive(self.marker):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        words = f.read().decode().split("\0")
                    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                        parent = int(f.read().rsplit(")", 1)[1].split()[1])
                except OSError:
                    continue
                own = words[1:3] == ["host", kind] or (kind == "frontend" and "host" in words[3:4])
                if parent == process.pid and own:
                    return pid
            return None
        return self.wait_for(look)

    def wait_for_stages(self, name, stage, count):
        def look():
            try:
                with open(self.path(name, "events.jsonl"), encoding="utf-8") as f:
                    return sum(f'"stage-start"' in line and f'"{stage}"' in line
                               for line in f) >= count
            except FileNotFoundError:
                return False
        self.wait_for(look)

    def finish(self, process, name):
        out, _ = process.communicate(timeout=100)
        self.nothing_left(name)
        return out, support.Run(self.path(name))

    def test_many_jobs_lose_their_host(self):
        """Each is tried again, and what it is then is its own: passing, crashing, timing out twice."""
        tests = {f"test_{i}": {"construct_inputs": "1*sleep"} for i in range(4)}
        tests["test_4"] = {"construct_inputs": "2*sleep"}
        tests["test_5"] = {"construct_inputs": "9*sleep"}
        process = self.start("many", tests, "-j", "6", "--timeout", "5", *QUICK)
        host = self.host_of(process, "plain")
        for name in tests:  # each has counted its first try
            counted = self.path("many", name, "attempts.construct_inputs")
            self.wait_for(lambda counted=counted: os.path.exists(counted))
        os.kill(host, signal.SIGKILL)
        out, run = self.finish(process, "many")
        ends = {name: run.end(name) for name in run.tests}
        # The loss is no try of the test's own: a timeout is still tried once more, alone.
        self.assertEqual(ends.pop("test_5"), ("construct_inputs", "timeout"), out)
        self.assertEqual(set(ends.values()), {("PASS", "partial")}, out)
        ways = {name: [e["why"] for e in self.attempts(run, test=name, stage="construct_inputs")]
                for name in run.tests}
        self.assertEqual(ways["test_4"], ["host", "timeout", ""])
        self.assertEqual(ways["test_5"], ["host", "timeout", "timeout"])
        self.assertEqual(self.notes(run), {("plain", "replaced", "death"): 1})
        self.begins_when_it_runs(run, "test_5", 3)

    def test_no_group_of_a_lost_job_is_left(self):
        """Also if its supervisor had no time to remove it, and no host is left that would."""
        for isolation in ("", "none"):
            for kill in ("host", "supervisor"):
                name = f"groups-{kill}{isolation}"
                self.fake_env = {**type(self).fake_env, "GAUNTLET_ISOLATION": isolation}
                process = self.start(name, {"test": {"setup": "1*sleep"}}, "--memory", "64M",
                                     "--stages", "setup", "-j", "1")
                host = self.host_of(process, "plain")
                counted = self.path(name, "test", "attempts.setup")
                self.wait_for(lambda counted=counted: os.path.exists(counted))
                os.kill(host if kill == "host" else children(host)[0], signal.SIGKILL)
                out, run = self.finish(process, name)
                self.assertEqual(run.end("test"), ("PASS", "partial"), out)
                self.assertEqual(set(stale_groups()) - self.groups, set(), name)
        del self.fake_env

    def begins_when_it_runs(self, run, test, attempt):
        """A stage that has to be alone begins when nothing else runs, not when it starts to wait."""
        open_stages, seen = set(), False
        for e in run.events():
            if e["event"] == "stage-start":
                if (e["test"], e["attempt"]) == (test, attempt):
                    self.assertEqual(open_stages, set())
                    seen = True
                open_stages.add((e["test"], e["stage"]))
            elif e["event"] == "stage-end":
                open_stages.discard((e["test"], e["stage"]))
        self.assertTrue(seen)

    def test_hangs(self):
        """A host that stands still is no test's timeout, though the limit is shorter than its own."""
        tests = {"test_0": {"setup": "1*sleep"}, "test_1": {}}
        process = self.start("hang", tests, "-j", "1", "--timeout", "4", "--retries", "timeout=1",
                             *QUICK)
        host = self.host_of(process, "plain")
        self.wait_for_stages("hang", "setup", 1)
        os.kill(host, signal.SIGSTOP)
        out, run = self.finish(process, "hang")
        self.all_pass(run, out)
        self.assertEqual(self.notes(run), {("plain", "replaced", "silent"): 1})

    def test_own_host_dies_while_its_test_is_held(self):
        """It is ready, its test may not start beside one that is alone, and then it is gone."""
        site = os.path.dirname(os.path.dirname(onnx.__file__))
        gate, alone = self.path("held.gate"), self.path("held.alone")
        write_text(self.path("python"), f"""#!/bin/sh
case "$*" in *--once*) while [ ! -e '{gate}' ]; do sleep 0.05; done ;; esac
exec '{sys.executable}' "$@"
""")
        os.chmod(self.path("python"), 0o755)
        self.fake_env = {
            **self.fake_env, "GAUNTLET_HOST_FAULT": "frontend:start",
            "GAUNTLET_PYTHON": self.path("python"), "GAUNTLET_ONNX": os.path.join(site, "onnx"),
            "GAUNTLET_ONNXRUNTIME": find(site, "libonnxruntime.so*"),
            "GAUNTLET_IREE_COMPILER": find(site, "libIREECompiler.so")}
        process = self.start("held", {"t1": {"setup": f"until:{alone}"}, "t2": {}}, "-j", "2",
                             "--stages", "setup", "import_model", "--timeout", "setup=8")
        journal = self.path("held", "events.jsonl")
        second = '"test":"t1","stage":"setup","attempt":2'
        self.wait_for(lambda: os.path.exists(journal) and second in support.read_text(journal))
        self.open("held.gate")
        host = self.wait_for(lambda: next((p for p in children(process.pid) if greeted(p)), None))
        os.kill(host, signal.SIGKILL)
        self.wait_for(lambda: host not in children(process.pid))
        self.open("held.alone")
        out, run = self.finish(process, "held")
        self.all_pass(run, out)

    def dies_with_the_runner(self, name, kind, **env):
        """kill -9 of the runner while a host has not said yet that it is ready: nobody lives on."""
        self.fake_env = {**type(self).fake_env, **env}
        try:
            process = self.start(name, {"test": {}}, "--reference", "ort")
            host = self.host_of(process, kind)
            process.kill()
            process.communicate(timeout=60)
            self.assertEqual(soon(lambda: support.alive(self.marker), 20), [], host)
        finally:
            for pid in support.alive(self.marker):  # what is left after a failure
                os.kill(pid, signal.SIGKILL)
            del self.fake_env

    def test_runner_is_killed_before_a_host_is_ready(self):
        for kind in KINDS:
            with self.subTest(kind):
                self.dies_with_the_runner(f"mute-{kind}", kind, GAUNTLET_HOST_FAULT=f"{kind}:mute")

    def test_runner_is_killed_while_a_host_loads(self):
        source = support.write_text(self.path("hangs.c"), """
            #include <unistd.h>
            __attribute__((constructor)) static void hang(void) { for (;;) pause(); }
            """)
        library = self.path("libonnxruntime.so")
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", library, source],
                       check=True)
        frontend = self.path("frontend")
        shutil.copytree(os.path.join(ROOT, "frontend"), frontend)
        support.write_text(os.path.join(frontend, "gauntlet", "importer.py"), """
import time
while True:
    time.sleep(1)
""")
        for kind, env in (("reference", {"GAUNTLET_ONNXRUNTIME": library}),
                          ("frontend", {"GAUNTLET_FRONTEND": frontend})):
            with self.subTest(kind):
                self.dies_with_the_runner(f"loads-{kind}", kind, **env)

    def test_limits_begin_when_the_engine_is_loaded(self):
        """A process of one job loads it in the job, at the cost of nobody's time and memory."""
        frontend = self.path("slow")
        shutil.copytree(os.path.join(ROOT, "frontend"), frontend)
        with open(os.path.join(frontend, "gauntlet", "importer.py"), "a", encoding="utf-8") as f:
            f.write("\nimport time\nALL = bytearray(b'x') * (100 << 20)\ntime.sleep(2.5)\n")
        tests = {"fine": {"import_model": "memory:16"}, "eats": {"import_model": "memory:300+sleep"}}
        for kind in ("polling", "cgroup1"):
            with self.subTest(kind):
                ran, run = self.fake(f"slow-{kind}", tests, "--memory", "64M", "--timeout",
                                     "import_model=2", "--retries", "0", code=1, env={
                                         "GAUNTLET_HOST_FAULT": "frontend:start",
                                         "GAUNTLET_FRONTEND": frontend, "GAUNTLET_MEMORY": kind})
                self.assertEqual(run.end("fine"), ("PASS", ""), ran)
                self.ends(run, "eats", "import_model", "memory")
                self.assertLess(self.attempts(run, test="fine", stage="import_model")[0]["seconds"], 2)

    # --- supervisors, where no namespace holds their jobs together

    def watched(self, name, tests, *arguments, leaves=4):
        """A run without namespaces, and the supervisor of a job when that has left its daemons."""
        self.fake_env = {**self.fake_env, "GAUNTLET_ISOLATION": "none"}
        process = self.start(name, tests, "--timeout", "30", "--retries", "host=0", *arguments)
        host = self.host_of(process, "plain")

        def look():
            for pid in children(host):
                if len(children(pid)) > leaves:
                    return pid
            return None
        return process, host, self.wait_for(look)

    def test_supervisor_of_the_last_job_is_killed(self):
        """The run has nothing else to wait for, and ends its hosts at once; still nobody lives on."""
        for i in range(12):
            process, _, supervisor = self.watched(f"last-{i}", {"test": {"setup": "leak:4+sleep"}},
                                                  "--stages", "setup")
            os.kill(supervisor, signal.SIGKILL)
            process.communicate(timeout=60)
            self.assertEqual(soon(lambda: support.alive(self.marker)), [])
            self.assertEqual(support.Run(self.path(f"last-{i}")).end("test"), ("setup", "host"))

    def test_supervisor_stopped_and_all_others_killed(self):
        for i, order in enumerate(("runner", "host runner")):
            with self.subTest(order):
                process, host, supervisor = self.watched(
                    f"stopped-{i}", {"test": {"setup": "leak:4+sleep"}}, "--stages", "setup")
                os.kill(supervisor, signal.SIGSTOP)
                for who in order.split():
                    os.kill(process.pid if who == "runner" else host, signal.SIGKILL)
                process.communicate(timeout=60)
                self.assertEqual(soon(lambda: support.alive(self.marker)), [])

    # --- the real thing

    def test_real_engines_one_process_a_job(self):
        for kind in ("frontend", "compiler", "reference", "runtime"):
            with self.subTest(kind):
                ran, run = self.run_tests(
                    f"real-{kind}", "test_abs", "--expect", "none", "--reference", "ort", code=0,
                    env={**self.fake_env, "GAUNTLET_HOST_FAULT": f"{kind}:start"})
                self.assertEqual([run.end(t) for t in run.tests], [("PASS", "")], ran)
                name = next(iter(run.tests))
                tool = run.json(name, "stages.json")["stages"][KINDS[kind]]["tool"]
                self.assertTrue(tool["name"] and tool["version"] and tool["path"], tool)
                self.nothing_left(f"real-{kind}")

    def test_missing_library_is_said_at_once(self):
        ran = self.gauntlet("run", "test_abs", env={"GAUNTLET_IREE_COMPILER": "/nonexistent.so"})
        self.assertEqual((ran.code, ran.out), (2, ""), ran)
        self.assertIn("/nonexistent.so", ran.err)

    # --- what a test class leaves behind

    def test_leaks_of_a_test_class(self):
        path = support.write_text(self.path("leaks.py"), PYTHON_TEST)
        ran, run = self.run_tests("leaks", "--suite", path, "--expect", "none", env=self.fake_env)
        self.nothing_left("leaks")
        self.assertEqual({n: run.end(n) for n in run.tests}, {
            "clean": ("PASS", ""), "leaks_early": ("PASS", ""),
            "leaks_and_fails": ("construct_inputs", "error")}, ran)
        left = {(e["test"], e["stage"]): (e["leftovers"], e["leaked"])
                for e in self.attempts(run) if e["leftovers"]}
        self.assertEqual(left, {("leaks_early", "postprocessing"): (1, "sleep"),
                                ("leaks_and_fails", "construct_inputs"): (1, "sleep")})
        ran, run = self.run_tests("leaks-fail", "--suite", path, "--expect", "none", "--leak=fail",
                                  env=self.fake_env, code=1)
        self.ends(run, "clean", "PASS")
        self.ends(run, "leaks_early", "postprocessing", "leaked",
                  says="the test class left 1 process running: sleep")
        self.ends(run, "leaks_and_fails", "construct_inputs", "error")
        self.nothing_left("leaks-fail")


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=[sys.argv[0], *sys.argv[1:]])
