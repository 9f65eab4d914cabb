"""Random kills, round after round: nothing that a run started lives on, and no verdict is another.

In a round a run of fake tests and test classes goes on while kill -9 hits one to three processes of
random roles at random moments. Everybody who works here is a subreaper, so whatever loses its parent
becomes its child: a process can neither hide from the count nor be mistaken for somebody else's.

    GAUNTLET_BINARY         the program
    GAUNTLET_CHAOS_ROUNDS   how many rounds (60)
    GAUNTLET_CHAOS_SEED     what they follow from (a new one each time, which is printed)
    GAUNTLET_CHAOS_FIRST    number of the first round, to repeat one of them
    GAUNTLET_CHAOS_JOBS     rounds at once (4)
"""

import collections
import ctypes
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from test_faults import isolation_had, marked

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

from support import stale_groups  # noqa: E402

BINARY = os.path.abspath(os.environ.get("GAUNTLET_BINARY", "build/gauntlet"))
SOON = 10  # seconds until the last process must be gone; it takes a fraction of one
PATIENCE = 180  # for a run that nobody kills
PR_SET_CHILD_SUBREAPER = 36

STAGES = ["setup", "import_model", "preprocessing", "compilation", "construct_inputs",
          "native_inference", "compiled_inference", "postprocessing", "comparison"]
CLASS_STAGES = ["setup", "construct_inputs", "native_inference"]
LIMITED = "construct_inputs"  # the stage whose limit is short

# What each test does, stage by stage, and how it ends if nobody disturbs it.
FAKES = {
    "good": ({}, "PASS", ""),
    "sleepy": (dict.fromkeys((s for s in STAGES if s != LIMITED), "sleep:40"), "PASS", ""),
    "daemons": ({"compilation": "leak:3+sleep:200", "comparison": "leak:2"}, "PASS", ""),
    "python_daemons": ({"import_model": "leak:3+sleep:200"}, "PASS", ""),
    "spreads": ({"native_inference": "spread+sleep:150", "setup": "spread"}, "PASS", ""),
    "spreads_and_dies": ({"compiled_inference": "spread+sleep:100+segv"},
                         "compiled_inference", "crash:SIGSEGV"),
    "grandchildren": ({"preprocessing": "grandchild:KILL+sleep:80+grandchild:SEGV"}, "PASS", ""),
    "prints": ({"preprocessing": "flood:4+sleep:50", "postprocessing": "flood:1"}, "PASS", ""),
    "eats": ({"native_inference": "memory:20"}, "PASS", ""),
    "crashes": ({"compilation": "leak+sleep:100+segv"}, "compilation", "crash:SIGSEGV"),
    "thread": ({"compiled_inference": "thread:ABRT"}, "compiled_inference", "crash:SIGABRT"),
    "python_crash": ({"import_model": "sleep:50+signal:BUS"}, "import_model", "crash:SIGBUS"),
    "says_no": ({"import_model": "error"}, "import_model", "error"),
    "silent": ({"compilation": "sleep:100+silent"}, "compilation", "protocol"),
    "half": ({"postprocessing": "leak:2+sleep:50+half-frame"}, "postprocessing", "protocol"),
    "exits": ({"setup": "sleep:50+exit:3"}, "setup", "protocol"),
    "wrong": ({"compiled_inference": "wrong"}, "Numerics", "value"),
    "killed": ({"compilation": "leak+signal:KILL"}, "compilation", "killed"),
    "stubborn": ({LIMITED: "leak:2+stubborn"}, LIMITED, "timeout"),
    "stopped": ({LIMITED: "leak:2+stop"}, LIMITED, "timeout"),
    "busy": ({LIMITED: "spread+busy"}, LIMITED, "timeout"),
    "hungry": ({"native_inference": "leak+memory:300"}, "native_inference", "memory"),
}
HANGING = ("stubborn", "stopped", "busy")  # each keeps the machine for itself for a while

CLASSES = '''
import os
import time

import numpy as np
from gauntlet import OnnxTest, register
from onnx import TensorProto, helper


@register("class_keeps")
class Keeps(OnnxTest):
    """What a hook keeps must be there in the next, also in an instance that follows a killed one."""

    def construct_model(self):
        self.kept = 7
        time.sleep(0.1)
        node = helper.make_node("Abs", ["x"], ["y"])
        ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xy"]
        return helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]),
                                 opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def construct_inputs(self):
        assert self.kept == 7
        time.sleep(0.1)
        return [np.array([1, -2], np.float32)]

    def forward(self, inputs):
        assert self.kept == 7
        return [np.abs(inputs[0])]


@register("class_leaks")
class Leaks(Keeps):
    def construct_model(self):
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                time.sleep(20)
                os._exit(0)
        return super().construct_model()


@register("class_aborts")
class Aborts(Leaks):
    def forward(self, inputs):
        time.sleep(0.1)
        os.abort()
'''
CLASS_ENDS = {"class_keeps": ("PASS", "partial"), "class_leaks": ("PASS", "partial"),
              "class_aborts": ("native_inference", "crash:SIGABRT")}

ROLES = {"runner": 25, "host": 25, "supervisor": 20, "child": 15, "grandchild": 15}


# ---- processes ----


def children(pid):
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as f:
                found += map(int, f.read().split())
    except OSError:
        pass
    return found


def stat(pid):
    """(state, process group, session); None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[2]), int(fields[3])


def below(pid):
    """All processes below one, with the depth of each."""
    found, todo = {}, [(pid, 0)]
    while todo:
        parent, depth = todo.pop()
        for child in children(parent):
            if child not in found:
                found[child] = depth + 1
                todo.append((child, depth + 1))
    return found


def alive(pids):
    return [pid for pid in pids if (stat(pid) or "X")[0] not in "ZX"]


def describe(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            words = f.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        words = "?"
    return f"{pid} {stat(pid)} {words[:100]}"


def kill(pid, ancestor):
    """kill -9, but never a stranger who has got the number. False if it was gone."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if pid != ancestor and pid not in below(ancestor):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)


# ---- one round ----


class Round:
    def __init__(self, number, seed, base):
        self.number = number
        self.random = random.Random(f"{seed}/{number}")
        self.folder = os.path.join(base, f"round-{number}")
        self.run = os.path.join(self.folder, "run")
        self.marker = f"gauntlet-chaos-{os.getpid()}-{number}-{time.time_ns()}"
        self.statuses = {}  # of children that have ended
        self.kills = []
        self.orphans = ()  # what the last one who was killed had below it
        self.problems = []
        self.survivors = 0
        self.last_death = 0.0
        self.plan()

    def plan(self):
        r = self.random
        self.isolation = ("", "user", "none")[self.number % 3]
        self.memory = r.choice(("", "polling", "cgroup1")) if self.number % 4 == 3 else None
        # The supervisor of the only job dies, and the run is over: its hosts are ended at once.
        self.only = self.number % 6 == 5
        if self.only:
            self.isolation, self.memory = "none", None
        self.classes = self.memory is None and not self.only and r.random() < 0.2
        names = [n for n in FAKES if n not in HANGING and (n != "hungry" or self.memory is not None)]
        self.tests = r.sample(names, r.randint(5, 9))
        if r.random() < 0.25:
            self.tests.append(r.choice(HANGING))
        if self.classes:
            self.tests = self.tests[:4] + list(CLASS_ENDS)
        self.stages = CLASS_STAGES if self.classes else STAGES[:2] if self.only else STAGES
        self.jobs = r.randint(1, 6)
        count = r.choices((0, 1, 2, 3), (4, 66, 20, 10))[0]
        self.wanted = [(r.choices(list(ROLES), ROLES.values())[0], r.random() < 0.5, r.random())
                       for _ in range(count)]
        if count and r.random() < 0.15:
            self.wanted.append(("runner", False, r.random()))
        if self.only:
            self.tests, self.wanted = ["python_daemons"], [("supervisor", True, r.random())]
        self.again = r.random() < 0.5
        self.suspend = not self.only and r.random() < 0.1

    def mode(self):
        memory = "" if self.memory is None else f", memory {self.memory or 'strongest'}"
        return f"isolation {self.isolation or 'strongest'}{memory}"

    def problem(self, text):
        self.problems.append(text)

    # --- the run

    def write(self, name, text):
        """A file of the suite; one that is there stays as it is, also its time."""
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        return path

    def start(self, *more):
        os.makedirs(os.path.join(self.folder, "tmp"), exist_ok=True)
        orders = {name: FAKES[name][0] for name in self.tests if name in FAKES}
        suite = self.write("chaos.fake", json.dumps(orders))
        command = [BINARY, "run", "-r", self.run, "--suite", suite, "-j", str(self.jobs),
                   "--torchtolinalg", "--timeout", "60", "--timeout", f"{LIMITED}=1"]
        if self.classes:
            command += ["--suite", self.write("classes.py", CLASSES), "--timeout", f"{LIMITED}=60", "--stages", *self.stages]
        if self.only:
            command += ["--stages", *self.stages, "--retries", "host=0"]
        if self.memory is not None:
            command += ["--memory", "64M"]
        command += more
        env = {k: v for k, v in os.environ.items() if not k.startswith("GAUNTLET_CHAOS")}
        env.update(GAUNTLET_FAKE="1", GAUNTLET_ISOLATION=self.isolation,
                   GAUNTLET_MEMORY=self.memory or "", TMPDIR=os.path.join(self.folder, "tmp"),
                   PATH=f"/nonexistent/{self.marker}:{os.environ.get('PATH', '')}")
        out = os.path.join(self.folder, "out"), os.path.join(self.folder, "err")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        return os.posix_spawn(BINARY, command, env, setpgroup=0, file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, out[0], flags, 0o644),
            (os.POSIX_SPAWN_OPEN, 2, out[1], flags, 0o644)])

    def reap(self):
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self.statuses[pid] = status
        except ChildProcessError:
            pass

    def runs(self):
        self.reap()
        return self.runner not in self.statuses

    def roles(self):
        """role -> processes that have it now."""
        found = collections.defaultdict(list)
        watchers = 2 if isolation_had(self.isolation) == "user" else 1
        for pid, depth in below(self.runner).items():
            s = stat(pid)
            if not s or s[0] in "ZX":
                continue
            if depth == 1:
                found["host"].append(pid)
            elif depth <= 1 + watchers:
                found["supervisor"].append(pid)
            elif s[1] == pid and s[2] != pid:
                found["child"].append(pid)
            else:
                found["grandchild"].append(pid)
        found["runner"] = [self.runner]
        return found

    def one_kill(self, role, at_once, chance):
        """Wait for the moment and kill; returns False if the run has ended before."""
        moment = time.monotonic() + (0 if at_once else chance)
        seen = False
        # One that stopped before it had any hosts does not get them now.
        until = time.monotonic() + (2 if self.suspend else PATIENCE)
        while self.runs() and time.monotonic() < until:
            roles = self.roles()
            victims = roles[role] if roles["grandchild"] or not self.only else []
            if victims and at_once and not seen:  # shortly after it has come to life
                moment = time.monotonic() + chance * 0.01
                seen = True
            if victims and time.monotonic() >= moment:
                victim = self.random.choice(victims)
                orphans = below(victim)
                if kill(victim, self.runner):
                    self.kills.append(role)
                    self.orphans = orphans
                    return True
            time.sleep(0.001)
        return False

    def wait_for_orphans(self):
        until = time.monotonic() + SOON
        while alive(self.orphans) and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.5)  # for those that have been born since we looked

    def stops(self):
        """Wait until the runner stands still; False if it has ended. A shell does not continue what has
        not stopped yet: it would stop for ever afterwards."""
        until = time.monotonic() + PATIENCE
        while self.runs() and time.monotonic() < until:
            if stat(self.runner)[0] == "T":
                return True
            time.sleep(0.001)
        return self.runs()

    def disturb(self):
        before = None
        for role, at_once, chance in self.wanted:
            # Without namespaces a supervisor or its host must have had the time to clear up.
            both = {role, before} & {"host", "runner"} and "supervisor" in (role, before)
            if isolation_had(self.isolation) == "none" and both:
                self.wait_for_orphans()
            if self.suspend and self.runs():
                os.kill(self.runner, signal.SIGTSTP)
                time.sleep(0.05)
            done = self.one_kill(role, at_once, chance)
            if self.suspend and self.stops():
                os.kill(self.runner, signal.SIGCONT)
            if not done:
                return
            before = role

    def finish(self):
        until = time.monotonic() + PATIENCE
        while self.runs() and time.monotonic() < until:
            time.sleep(0.002)
        if self.runs():
            tree = "; ".join(describe(p) for p in below(self.runner))
            self.problem(f"the run does not end: {tree}")
            kill(self.runner, self.runner)
        self.nobody_lives()

    def go(self):
        self.runner = self.start()
        self.disturb()
        self.finish()
        if not self.survivors:
            self.check()
        if not self.problems:
            shutil.rmtree(self.folder)

    def living(self):
        """What lives of this round: below this process, or with the round's marker. Who changes its
        parent during a look may escape it, but not the next."""
        me = os.getpid()
        return alive(below(me)) or alive(below(me)) or alive(marked(self.marker))

    def nobody_lives(self):
        began = time.monotonic()
        self.reap()
        left = self.living()
        while (left or self.runner not in self.statuses) and time.monotonic() < began + SOON:
            time.sleep(0.001)
            self.reap()
            left = self.living()
        self.last_death = time.monotonic() - began
        if left:
            self.survivors += len(left)
            self.problem("alive: " + "; ".join(map(describe, left)))
        while left:
            for pid in left:
                kill(pid, os.getpid())
            self.reap()
            left = alive(below(os.getpid()))

    # --- what the run says

    def events(self):
        try:
            with open(os.path.join(self.run, "events.jsonl"), encoding="utf-8") as f:
                return [json.loads(line) for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def undisturbed(self, test):
        if test in CLASS_ENDS:
            return CLASS_ENDS[test]
        orders, status, why = FAKES[test]
        if self.classes and not set(orders) & set(self.stages):
            status, why = "PASS", ""
        elif self.classes and status != "PASS" and status not in self.stages:
            status, why = "PASS", ""
        if status == "PASS" and "comparison" not in self.stages:
            why = "partial"
        return status, why

    def check_verdicts(self, events):
        """Every verdict is the undisturbed one, or it says who was killed, and how often."""
        failed = collections.Counter()
        for e in events:
            if e["event"] == "stage-end" and not e["ok"]:
                failed[e["test"], e["stage"], e["why"]] += 1
                if e["why"] in ("killed", "host") and not self.kills and e["test"] != "killed":
                    self.problem(f"nobody was killed, but {e}")
        for e in events:
            if e["event"] != "test-end":
                continue
            got = e["status"], e["why"]
            if got == self.undisturbed(e["test"]):
                continue
            tries = 1 if self.only else 2
            excuse = e["why"] in ("killed", "host") and len(self.kills) >= tries and \
                failed[e["test"], e["stage"], e["why"]] >= tries
            if not excuse:
                self.problem(f"{e} instead of {self.undisturbed(e['test'])}")

    def check_ended(self, events, status):
        """The runner lived: every test has a status, nothing is left in the folder."""
        with open(os.path.join(self.folder, "err"), encoding="utf-8") as f:
            err = f.read()
        if not events and "cannot list the tests" in err and len(self.kills) > 1:
            return  # killed twice before the run had begun, which is told
        if err and not ("runner" in self.kills and "holds no run that has begun" in err):
            self.problem(f"stderr: {err}")
        if os.listdir(os.path.join(self.folder, "tmp")) or os.path.exists(f"{self.run}/tmp"):
            self.problem("working folders are left")
        try:
            with open(os.path.join(self.run, "results.json"), encoding="utf-8") as f:
                results = json.load(f)
        except FileNotFoundError:
            self.problem("there is no results.json")
            return
        ends = {t["test"]: (t["status"], t["why"]) for t in results["tests"]}
        if not results["complete"] or set(ends) != set(self.tests) or None in ends.values():
            self.problem(f"incomplete: {ends}")
        wanted = any(s != "PASS" for s, _ in ends.values())
        if not os.WIFEXITED(status) or os.WEXITSTATUS(status) != wanted:
            self.problem(f"wait status {status:#x} instead of exit code {wanted:d}")
        late = any(e.get("why") == "timeout" for e in events)
        if not late and any(t["flaky"] for t in results["tests"]):
            self.problem("flaky, though only others did anything")
        whys = [e["why"] for e in events if e["event"] == "stage-end" and not e["ok"]
                and e["test"] != "killed"]
        if set(self.kills) == {"child"} and "host" in whys:
            self.problem("a child was killed, and its host is blamed")

    def check_killed(self, events):
        """The runner died: what it wrote can be read."""
        if events:
            ran = subprocess.run([BINARY, "report", self.run], capture_output=True, text=True,
                                 check=False, timeout=PATIENCE)
            over = events[-1]["event"] == "run-end"
            if ran.returncode not in ((0, 1) if over else (6,)):
                self.problem(f"report: exit code {ran.returncode}: {ran.stderr}")

    def check(self):
        events = self.events()
        status = self.statuses[self.runner]
        self.check_verdicts(events)
        if os.WIFSIGNALED(status) and "runner" in self.kills:
            self.check_killed(events)
            if self.again and not self.problems:
                shutil.rmtree(os.path.join(self.folder, "tmp"))  # what it asked before the run
                self.runner = self.start(*(["--resume"] if events else []))
                self.finish()
                self.check_ended(self.events(), self.statuses[self.runner])
                self.check_verdicts(self.events())
        else:
            self.check_ended(events, status)

    def record(self):
        return {"round": self.number, "mode": self.mode(), "kills": self.kills,
                "problems": self.problems, "survivors": self.survivors,
                "last_death": self.last_death, "folder": self.folder}


# ---- many rounds ----


def work(numbers, seed, base, pipe):
    """Do rounds one after the other in a process of its own, a line of JSON for each."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("cannot be a subreaper")
    for number in numbers:
        one = Round(number, seed, base)
        try:
            one.go()
        except Exception:  # the rounds after this one are worth something too
            one.problem(traceback.format_exc())
            one.nobody_lives()
        os.write(pipe, json.dumps(one.record()).encode() + b"\n")


def spawn(numbers, seed, base):
    """Start a worker; returns (pid, descriptor of its lines)."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    code = 1
    try:
        os.close(read)
        work(numbers, seed, base, write)
        code = 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)


class Totals:
    def __init__(self, rounds):
        self.rounds, self.done, self.bad, self.survivors = rounds, 0, 0, 0
        self.last_death = 0.0
        self.kills, self.modes = collections.Counter(), collections.Counter()
        self.began = time.monotonic()

    def add(self, record):
        self.done += 1
        self.kills.update(record["kills"])
        self.modes[record["mode"]] += 1
        self.survivors += record["survivors"]
        self.last_death = max(self.last_death, record["last_death"])
        if record["problems"]:
            self.bad += 1
            print(f"round {record['round']} ({record['mode']}; killed: "
                  f"{', '.join(record['kills']) or 'nobody'}) in {record['folder']}")
            for text in record["problems"]:
                print(f"    {text}")
        if record["problems"] or self.done % 50 == 0 or self.done == self.rounds:
            print(f"{self.done} of {self.rounds} rounds, {sum(self.kills.values())} kills, "
                  f"{self.survivors} survivors, {self.bad} bad rounds, "
                  f"{time.monotonic() - self.began:.0f} s", flush=True)

    def show(self):
        for title, counter in (("kills", self.kills), ("rounds", self.modes)):
            for name, count in sorted(counter.items()):
                print(f"{title:8}{count:6}  {name}")
        print(f"survivors {self.survivors}, bad rounds {self.bad}, last process gone after at most "
              f"{self.last_death:.2f} s")


def sweep(base):
    """What a runner that is killed cannot remove goes with the next run. Returns what does not."""
    stale = stale_groups()
    suite = os.path.join(base, "last.fake")
    with open(suite, "w", encoding="utf-8") as f:
        f.write('{"good": {}}')
    subprocess.run([BINARY, "run", "-r", os.path.join(base, "last"), "--suite", suite, "--memory",
                    "64M", "--stages", "setup"], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "GAUNTLET_FAKE": "1"}, timeout=PATIENCE)
    return [path for path in stale if os.path.exists(path)]


def main():
    rounds = int(os.environ.get("GAUNTLET_CHAOS_ROUNDS", "60"))
    first = int(os.environ.get("GAUNTLET_CHAOS_FIRST", "0"))
    seed = os.environ.get("GAUNTLET_CHAOS_SEED") or str(time.time_ns())
    jobs = min(rounds, int(os.environ.get("GAUNTLET_CHAOS_JOBS", "4")))
    print(f"GAUNTLET_CHAOS_SEED={seed}", flush=True)
    base = tempfile.mkdtemp(prefix="gauntlet-chaos-")
    totals = Totals(rounds)
    for wanted in ("", "user", "none"):  # nobody has the time to ask for it later
        isolation_had(wanted)
    workers = dict(reversed(spawn(range(first + i, first + rounds, jobs), seed, base))
                   for i in range(jobs))
    rest = dict.fromkeys(workers, b"")
    while rest:
        for pipe in select.select(list(rest), [], [])[0]:
            data = os.read(pipe, 65536)
            *lines, rest[pipe] = (rest[pipe] + data).split(b"\n")
            for line in lines:
                totals.add(json.loads(line))
            if not data:
                del rest[pipe]
    codes = [os.waitpid(pid, 0)[1] for pid in workers.values()]
    totals.show()
    left = sweep(base)
    if left:
        print(f"cgroups are left: {left}")
    good = totals.done == rounds and not totals.bad and not any(codes) and not left
    if good:
        shutil.rmtree(base)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
