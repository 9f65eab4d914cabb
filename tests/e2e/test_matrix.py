"""Every ending at every stage on every kind of host.

Faults are done on order by real jobs of real hosts (stage/fake.h).
"""

import collections
import json
import os
import re
import shlex
import statistics
import subprocess
import unittest

import support
from matrix import (ENDINGS, FILES, HANGS, HOSTS, KINDS, TOO_MUCH, Case, Ending, check_schemas, failed,
                    soon)
from support import STAGES, working_in, write_text


@unittest.skipUnless(check_schemas, "the Python package jsonschema is not there")
class Schema(unittest.TestCase):
    def test_can_fail(self):
        """What the matrix leans on to check journals."""
        self.assertFalse(check_schemas.validator("events").is_valid({"event": "stage-end"}))


class Matrix(Case):
    """ending x stage, and so ending x kind of host."""

    def matrix(self, folder, endings, *arguments, stages=STAGES, expect=True, env=None):
        """One run of every ending at every stage. It ends as expected, so its exit code is 0."""
        cells = {f"{re.sub('[^a-z0-9]+', '_', fault.lower())}.{stage}": (fault, stage, ending)
                 for fault, ending in endings.items() for stage in stages}
        self.assertEqual(len(cells), len(stages) * len(endings))
        lines = [f"{name} {failed(stage)}:{ending.why}" for name, (_, stage, ending)
                 in cells.items() if ending.why]
        if expect:
            arguments += ("--expect", write_text(self.path(f"{folder}.expect"), "\n".join(lines)))
        ran, run = self.fake(
            folder, {name: {stage: fault} for name, (fault, stage, _) in cells.items()},
            "-j", "8", "--torchtolinalg", *arguments, code=0 if expect or not lines else 1, env=env)
        self.valid(run)
        ends = self.ends_of(run)
        self.assertEqual(list(run.tests), sorted(cells))
        for name, (fault, stage, ending) in cells.items():
            with self.subTest(f"{fault} at {stage}"):
                self.check_cell(run, ends[name], name, stage, ending)
        verdicts = run.results["counts"]["by_verdict"]
        self.assertEqual(verdicts["XFAIL" if expect else "FAIL"], len(lines))
        self.assertEqual(verdicts["PASS"], len(cells) - len(lines))
        return run, ends

    def check_cell(self, run, ends, name, stage, ending):
        test, done = run[name], STAGES[:STAGES.index(stage)]
        wanted = {"test.json", "stages.json"}
        if ending.why:
            self.assertEqual((test["status"], test["why"], test["stage"]),
                             (failed(stage), ending.why, stage), test["message"])
            message = ending.says.format(HOSTS[stage])
            self.assertRegex(test["message"], rf"\A{message}\Z")
            attempts = [1] * len(done) + list(range(1, ending.attempts + 1))
            self.assertEqual([e["stage"] for e in ends], done + [stage] * ending.attempts)
            self.check_log(run, name, stage, ending)
            wanted.add(f"{stage}.log")
        else:
            self.assertEqual((test["status"], test["why"]), ("PASS", ""), test["message"])
            done, attempts = STAGES, [1] * len(STAGES)
            self.assertEqual([e["stage"] for e in ends], STAGES)
        self.assertEqual([e["attempt"] for e in ends], attempts)
        self.assertEqual([e["ok"] for e in ends],
                         [True] * len(done) + [False] * (len(ends) - len(done)))
        self.assertFalse(test["flaky"])
        self.assertEqual(list(test["stages"]), done if not ending.why else done + [stage])
        for each in done:
            wanted.update(FILES[each])
        found = set(os.listdir(run.folder(name)))
        self.assertEqual(found - {f"{stage}.output"}, wanted)
        if f"{stage}.output" in found:  # a fault that printed something and went on
            self.assertTrue(name.startswith("flood"), found)

    def check_log(self, run, name, stage, ending):
        log = run.text(name, f"{stage}.log")
        for line in (f"test    {name}", f"stage   {stage}", f"why     {ending.why}",
                     f"message {run[name]['message']}",
                     f"again   gauntlet stage {stage} {shlex.quote(run.folder(name))}"):
            self.assertIn(f"{line}\n", log)
        self.assertRegex(log, r"\ntime    \d+\.\d{3} s\n")
        self.assertIn(ending.log, log)

    def test_endings(self):
        run, ends = self.matrix("endings", ENDINGS, "--timeout", "30")
        for stage in STAGES:
            with self.subTest(stage):
                at = STAGES.index(stage)
                flood = ends[f"flood_20.{stage}"][at]
                self.assertGreater(flood["output_bytes"], (20 << 20) - 40960)
                size = os.path.getsize(run.file(f"flood_20.{stage}", f"{stage}.output"))
                self.assertAlmostEqual(size, flood["output_bytes"] - flood["dropped_bytes"],
                                       delta=100)
                self.assertTrue(8 << 20 < size < 9 << 20, size)
                leak = ends[f"leak_2.{stage}"][at]
                self.assertEqual(leak["leftovers"], 2)
                who = "python" if stage == "import_model" else "gauntlet"
                self.assertRegex(leak["leaked"], rf"\A{who}\S* \(2\)\Z")
                test = run[f"leak_2.{stage}"]
                self.assertEqual((test["leftovers"], test["leaked"]), (2, leak["leaked"]))
                for name, events in ends.items():
                    if not name.startswith("leak"):
                        self.assertEqual([e["leftovers"] for e in events], [0] * len(events), name)

    def test_weaker_isolation(self):
        """One stage a kind of host: without the right to make namespaces all ends the same way."""
        for kind in ("user", "none"):
            with self.subTest(kind):
                self.matrix(f"endings-{kind}", ENDINGS, "--timeout", "30", stages=KINDS.values(),
                            env={"GAUNTLET_ISOLATION": kind})

    def test_processes_of_one_job(self):
        """Of hosts that have fallen back."""
        some = {k: ENDINGS[k] for k in ("pass", "error", "silent", "garbage", "segv", "abort", "leak:2",
                                        "crash-after-reply", "thread:ABRT", "signal:KILL", "flood:20")}
        for kind, stage in KINDS.items():
            with self.subTest(kind):
                run, _ = self.matrix(f"own-{kind}", some, "--timeout", "60", stages=[stage],
                                     env={"GAUNTLET_HOST_FAULT": f"{kind}:start"})
                self.assertIn((kind, "fallback"), [(n["host"], n["what"]) for n in run.results["notes"]])

    def test_half_a_file(self):
        """What a stage has begun to write is in no record, and later stages do not take it for whole."""
        tests = {stage: {stage: f"half-file:{self.path('half', stage, FILES[stage][0])}"}
                 for stage in STAGES if FILES[stage]}
        run = self.fake("half", tests, "--torchtolinalg", code=1)[1]
        for stage in tests:
            with self.subTest(stage):
                self.ends(run, stage, failed(stage), "crash:SIGABRT")
                self.assertEqual(os.path.getsize(run.file(stage, FILES[stage][0])), 23)
                self.assertEqual(run.json(stage, "stages.json")["stages"][stage]["files"], [])
                later = STAGES[STAGES.index(stage) + 1:]
                if not later:
                    continue
                ran = self.gauntlet("run", "-r", "half", "--suite", self.path("half.fake"), stage,
                                    "--torchtolinalg", "--stages", *later, env=self.fake_env)
                self.assertEqual(ran.code, 1, ran)
                self.assertIn(stage, support.Run(self.path("half"))[stage]["message"], ran)

    def test_hangs(self):
        used = collections.defaultdict(list)
        for stage in STAGES:  # a limit that is soon met is for those alone that hang
            _, ends = self.matrix(f"hangs-{stage}", HANGS, "--timeout", "60", "--timeout",
                                  f"{stage}=1", "--retries", "timeout=0", stages=[stage],
                                  expect=False)
            for name, events in ends.items():
                last = events[-1]
                self.assertGreaterEqual(last["seconds"], 1, name)
                self.assertLess(last["seconds"], 6, name)  # the kill did not have to be repeated
                used[name.split(".")[0]].append(last["user_seconds"] + last["system_seconds"])
        for fault, seconds in used.items():
            self.assertEqual(len(seconds), len(STAGES))
            if fault == "busy":  # one that stood still for its second has not used it
                self.assertGreater(statistics.median(seconds), 0.05)
            else:
                self.assertLess(max(seconds), 0.5, fault)

    def test_memory(self):
        """However the limit is watched: the same verdicts."""
        for kind in ("", "polling", "cgroup1"):
            with self.subTest(kind):
                run, ends = self.matrix(
                    f"memory{kind}", {"memory:300+sleep": TOO_MUCH, "memory:16": Ending("", "")},
                    "--timeout", "60", "--memory", "64M", env={"GAUNTLET_MEMORY": kind})
                self.assertFalse([e for events in ends.values() for e in events if e["leftovers"]])

    def test_wrong_answer(self):
        run = self.fake("wrong", {stage: {stage: "wrong"} for stage in STAGES}, code=1)[1]
        for stage in STAGES:
            if stage == "compiled_inference":
                self.ends(run, stage, "Numerics", "value", "2 where 1 is right")
                self.assertFalse(run.json(stage, "comparison.json")["match"])
            else:
                self.ends(run, stage, "PASS")

    def test_unknown_order(self):
        run = self.fake("unknown", {stage: {stage: "no-such-fault"} for stage in STAGES},
                        code=1)[1]
        for stage in STAGES:
            self.ends(run, stage, failed(stage), says="there is no fault 'no-such-fault'")

    def test_other_hosts(self):
        """Stages that another option sends to another host."""
        tests = {stage: {stage: "segv"} for stage in ("preprocessing", "native_inference")}
        run = self.fake("plain", tests, "--reference", "stored", code=1)[1]
        for stage in tests:
            self.ends(run, stage, stage, "crash:SIGSEGV", "the stage crashed")


class FullDisk(Case):
    """A job that fills the disk, at each stage and so on each kind of host, is a fault of its own
    kind: the run ends, for nothing that fails from then on would say anything of a test."""

    def mount(self, name):
        small = self.path(name)
        os.mkdir(small)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", small],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            self.skipTest(f"may not mount a small file system: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", small], check=True)
        return os.path.join(name, "run")

    def test_endings(self):
        for stage in STAGES:
            with self.subTest(stage):
                folder = self.mount(f"disk-{stage}")
                suite = self.write_fake(stage, {"filler": {stage: "leak:2+fill-disk"}})
                ran = self.gauntlet("run", "-r", folder, "--suite", suite, "--torchtolinalg",
                                    env=self.fake_env)
                self.nothing_left(folder)
                run, ends = support.Run(self.path(folder)), STAGES[:STAGES.index(stage)]
                if ran.code == 0:  # it wrote nothing of its own, and the journal still had room
                    self.assertEqual(stage, "postprocessing")
                    self.ends(run, "filler", "PASS")
                    continue
                self.assertEqual(ran.code, 3, ran)
                self.assertRegex(ran.err, r"\Agauntlet: [^\n]*(No space left on device|is full: "
                                          r"make room)[^\n]*\n\Z")
                self.assertIn("INCOMPLETE", ran.out)
                self.assertFalse(run.results["complete"])
                self.assertFalse(run["filler"]["status"])
                events = [json.loads(line) for line in support.read_text(
                    self.path(folder, "events.jsonl")).splitlines(True) if line[-1] == "\n"]
                self.assertEqual([e["stage"] for e in events if e["event"] == "stage-end"], ends)
                wanted = {"test.json"}.union(*(FILES[s] for s in ends))
                found = set(os.listdir(run.folder("filler"))) - {"stages.json"}
                self.assertTrue(wanted <= found <= wanted.union(FILES[stage]), found)
                ran = self.gauntlet("report", folder)
                self.assertEqual((ran.code, ran.err), (6, ""), ran)


class Watch(Case):
    """The checks above can fail: they see what lives, and a kill -9 leaves nothing to see."""

    def test_hard_kill(self):
        process = subprocess.Popen(
            [support.BINARY, "run", "-r", "watch", "--memory", "1G", "-j", "2", "--suite",
             self.write_fake("watch", {"a": {"compilation": "sleep"}, "b": {"setup": "leak:3"}})],
            cwd=self.here, env=support.environment(**self.fake_env), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        inside = self.path("watch")
        for says in (b'"test-end","test":"b"', b'"stage-start","test":"a","stage":"compilation"'):
            support.wait_for(lambda says=says: any(says in line for line in support.journal(inside)),
                             process)
        support.wait_for(lambda: working_in(inside), process)
        lived = support.alive(self.marker)
        self.assertGreater(len(lived), 3)
        process.kill()
        process.wait()
        self.assertEqual(soon(lambda: support.alive(self.marker)), [])
        # Also none that is dead and that nobody has asked about: its number is still its own.
        self.assertEqual(soon(lambda: [p for p in lived if os.path.exists(f"/proc/{p}")]), [])
        # A group whose supervisor had no time to remove it goes with the next host.
        self.fake("watch", {"a": {}}, "--memory", "1G", code=0)


if __name__ == "__main__":
    unittest.main()
