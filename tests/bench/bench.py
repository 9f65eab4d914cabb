"""What Gauntlet itself costs: per job, per run, per selected test, per line of the journal.

    bench.py [--json FILE] [--only PART ...] [--scale X] [--build FOLDER]
    bench.py --smoke

Prints tables; judges nothing. Files lie below TMPDIR; /dev/shm there leaves the disk out. --smoke is the test `bench.smoke`: everything small, and only what does
not depend on the speed of the machine is checked. Times are medians with the 10th and the 90th
percentile behind them; what is compared was measured turn by turn.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
STAGES = 9
HOSTS = ["plain", "compiler", "reference", "runtime", "frontend"]
PARTS = ["jobs", "run", "many", "whole", "journal"]

# What --smoke checks. The CPU limit is far above any machine's, to see only what is broken.
MANY = 10000
PEAK_KB = 64 << 10
CPU_MS_PER_JOB = 5.0


def spread(values):
    """(median, 10th percentile, 90th percentile)"""
    if len(values) < 3:
        return statistics.median(values), min(values), max(values)
    deciles = statistics.quantiles(values, n=10, method="inclusive")
    return statistics.median(values), deciles[0], deciles[-1]


def show(values, digits=2):
    middle, low, high = spread(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def table(title, head, rows, note=""):
    """Text of at most 80 columns."""
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    lines = ["", title]
    for row in [head, *rows]:
        cells = [str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append(("  " + "  ".join(cells)).rstrip())
    lines += [f"  {line}" for line in note.splitlines()]
    print("\n".join(lines), flush=True)


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:  # the process has ended meanwhile
        return ""


def cpu_ms(pid):
    """CPU time of a process itself."""
    fields = read(f"/proc/{pid}/schedstat").split()
    return int(fields[0]) / 1e6 if fields else 0.0


def peak_kb(pid):
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


class Watched:
    """A command that was looked at while it ran."""

    def __init__(self, arguments, folder, env, pause, watch=lambda now: None):
        self.peak_kb, self.hosts, self.own_ms = 0, {}, 0.0
        began = time.monotonic()
        with open(os.path.join(folder, "out"), "w", encoding="utf-8") as out:
            process = subprocess.Popen(arguments, cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=subprocess.STDOUT)
        ended = False
        while not ended:
            # A zombie still has its times: this look misses nothing of the CPU time.
            ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            self.look(process.pid)
            watch(time.monotonic() - began)
            if not ended:
                time.sleep(pause)
        self.wall_s = time.monotonic() - began
        # Of the process alone: the peak of its own memory, if it has started no other.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = self.code = os.waitstatus_to_exitcode(status)
        self.max_rss_kb = usage.ru_maxrss
        self.tree_ms = (usage.ru_utime + usage.ru_stime) * 1000

    def look(self, pid):
        self.own_ms = max(self.own_ms, cpu_ms(pid))
        self.peak_kb = max(self.peak_kb, peak_kb(pid))
        for child in read(f"/proc/{pid}/task/{pid}/children").split():
            words = read(f"/proc/{child}/cmdline").split("\0")
            if "host" not in words[:-1]:
                continue
            name = words[words.index("host") + 1]
            name = "frontend" if name.isdigit() else name
            self.hosts[name] = max(self.hosts.get(name, 0.0), cpu_ms(child))


class Bench:
    def __init__(self, build, scale):
        self.build, self.scale = build, scale
        self.binary = os.environ.get("GAUNTLET_BINARY", os.path.join(build, "gauntlet"))
        self.here = tempfile.mkdtemp(prefix="gauntlet-bench-")
        self.env = {**os.environ, "GAUNTLET_FAKE": "1", "GAUNTLET_SHARE": "/nonexistent",
                    "GAUNTLET_WORKER": os.path.join(build, "libgauntlet_worker.so")}
        self.found = {}

    def path(self, *parts):
        return os.path.join(self.here, *parts)

    def count(self, number):
        return max(2, round(number * self.scale))

    def gauntlet(self, *arguments, pause=0.02, watch=lambda now: None, code=0):
        ran = Watched([self.binary, *arguments], self.here, self.env, pause, watch)
        if ran.code != code:
            sys.exit(f"bench: gauntlet {' '.join(arguments[:6])} ...: exit code {ran.code}\n"
                     f"{read(self.path('out'))}")
        return ran

    def watched(self, *arguments, **how):
        """A run of which the peak was seen: it may be over before this program looks once."""
        for _ in range(5):
            shutil.rmtree(self.path("folder"), ignore_errors=True)
            ran = self.gauntlet(*arguments, **how)
            if ran.peak_kb:
                break
        return ran

    def helper(self, name, *arguments, env=None):
        done = subprocess.run([os.path.join(self.build, "tests", f"bench_{name}"), *arguments],
                              env=env or self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)
        if done.returncode != 0:
            sys.exit(f"bench: bench_{name} {' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout)

    def fakes(self, name, count):
        """Arguments that select `count` fake tests, in files of a hundred: a job reads its own."""
        arguments = []
        os.makedirs(self.path(name), exist_ok=True)
        for first in range(0, count, 100):
            file = f"{name}/{first // 100:05d}.fake"
            tests = {f"test_of_an_operator_with_attributes_{i:06d}": {}
                     for i in range(first, min(first + 100, count))}
            with open(self.path(file), "w", encoding="utf-8") as f:
                json.dump(tests, f)
            arguments += ["--suite", file]
        return arguments

    # ---- a job against a bare fork ----

    def jobs(self):
        settings = [(host, "", "") for host in HOSTS]
        settings += [("plain", isolation, "") for isolation in ("user", "none")]
        settings += [("plain", "", memory) for memory in ("cgroup2", "cgroup1", "polling")]
        settings += [("compiler", "user", ""), ("compiler", "none", "")]
        file, seen, rows = self.path("nothing.fake"), set(), []
        with open(file, "w", encoding="utf-8") as f:
            json.dump({"nothing": {}}, f)
        for host, isolation, memory in settings:
            env = {**self.env, "GAUNTLET_ISOLATION": isolation, "GAUNTLET_MEMORY": memory}
            rounds = self.count(100 if host == "frontend" else 400)
            one = self.helper("jobs", host, str(rounds), "1073741824" if memory else "0", file,
                              env=env)
            key = (host, one["isolation"], one["memory"])
            if key in seen:  # this machine does not have it, and took the next weaker one
                continue
            seen.add(key)
            self.found.setdefault("jobs", []).append(one)
            rows.append(self.job_row(one))
        table("One job (supervisor, child, reply, report) against a bare fork, ms",
              ["host, isolation, memory", "MB", "fork", "job", "ratio"], rows,
              "fork: fork, _exit and wait of a process that has loaded the same, turn by turn\n"
              "job: from the order to its ending; the stage itself does nothing\n")
        table("CPU time of such a job, ms",
              ["host, isolation, memory", "fork", "runner", "host", "superv.", "child", "all/fork"],
              [self.cpu_row(one) for one in self.found["jobs"]])

    @staticmethod
    def title(one):
        short = {"pid namespace": "pidns", "pid namespace in a user namespace": "userns",
                 "process group": "group", "polling of private memory": "polling"}
        parts = [one["host"], short.get(one["isolation"], one["isolation"])]
        if one["memory"] != "none":
            parts.append(short.get(one["memory"], one["memory"]))
        return " ".join(parts)

    def job_row(self, one):
        ratios = [job / fork for job, fork in zip(one["job"], one["fork"])]
        return [self.title(one), round(one["host_rss_kb"] / 1024), show(one["fork"]),
                show(one["job"]), show(ratios, 1)]

    def cpu_row(self, one):
        fork = statistics.median(one["fork_cpu"])
        runner, host = (statistics.median(one[k]) for k in ("runner_cpu", "host_cpu"))
        supervisor = one["tree_cpu_mean"] - one["child_cpu_mean"]
        total = runner + host + one["tree_cpu_mean"]
        return [self.title(one), f"{fork:.2f}", f"{runner:.2f}", f"{host:.2f}",
                f"{supervisor:.2f}", f"{one['child_cpu_mean']:.2f}", f"{total / fork:.1f}"]

    # ---- a whole run ----

    def run(self):
        few, many = self.count(20), self.count(320)
        selected = {n: self.fakes(f"run{n}", n) for n in (few, many)}
        rounds, jobs = max(3, self.count(7)) if self.scale >= 1 else 1, (many - few) * STAGES
        series = {}
        for _ in range(rounds):
            ran = {}
            for n in (few, many):
                ran[n] = self.gauntlet("run", "-r", "folder", "-j", "2", *selected[n])
                shutil.rmtree(self.path("folder"))
            # What starting and loading cost is in both.
            more, less = ran[many], ran[few]
            found = {"runner": more.own_ms - less.own_ms, "wall": (more.wall_s - less.wall_s) * 1e3,
                     "all": more.tree_ms - less.tree_ms}
            found.update({name: more.hosts[name] - less.hosts.get(name, 0) for name in more.hosts})
            found["hosts"] = sum(more.hosts.values()) - sum(less.hosts.values())
            found["own"] = found["runner"] + found["hosts"]
            for name, value in found.items():
                series.setdefault(name, []).append(value / jobs)
        self.found["run"] = {"tests": many, "jobs": jobs, "ms_per_job": series}
        names = [("runner", "runner"), ("hosts", "all hosts"),
                 *((n, f"  the {n} host") for n in HOSTS if n in series),
                 ("own", "runner and hosts (aim: < 0.6)"),
                 ("all", "everything, with supervisors and children"), ("wall", "wall time")]
        table(f"A run of {many} fake tests x {STAGES} stages at -j 2, ms",
              ["CPU time", "a job", "a test"],
              [[label, show(series[key], 3), show([v * STAGES for v in series[key]], 1)]
               for key, label in names],
              f"less a run of {few}; {rounds} pairs of runs")

    # ---- many tests ----

    def many(self, counts=(2000, MANY, 50000)):
        rows = []
        for n in counts:
            one = self.many_of(n)
            self.found.setdefault("many", []).append(one)
            for what in ("list", "start", "report"):
                rows.append([f"{n} {what}", f"{one[what + '_s']:.2f}",
                             f"{one[what + '_s'] / n * 1e6:.1f}", f"{one[what + '_kb'] / 1024:.1f}"])
        table("Many selected tests", ["tests", "s", "us a test", "peak MB"], rows,
              "start: `gauntlet run --expect` up to the first stage; peak of that run, ended by\n"
              "  --max-failures 1, with its reports\n"
              f"list: `gauntlet list`; report: `gauntlet report`, {STAGES} stages each;\n"
              "  a peak of less than this program's own memory shows as that\n"
              f"aim: < 64 MB with {MANY} tests")

    def many_of(self, n):
        selected = self.fakes(f"many{n}", n)
        with open(self.path("expect"), "w", encoding="utf-8") as f:
            f.writelines(f"test_of_an_operator_with_attributes_{i:06d} PASS none\n"
                         for i in range(n))
        with open(self.path(f"many{n}", "00000.fake"), encoding="utf-8") as f:
            first = json.load(f)
        first["test_of_an_operator_with_attributes_000000"] = {"setup": "error"}
        with open(self.path(f"many{n}", "00000.fake"), "w", encoding="utf-8") as f:
            json.dump(first, f)
        listed = self.gauntlet("list", *selected, pause=0.005)
        journal, created = self.path("folder", "events.jsonl"), []

        def watch(now):
            if not created and os.path.exists(journal):
                created.append(now)

        ran = self.watched("run", "-r", "folder", "--stages", "setup", "--max-failures", "1",
                           "--expect", "expect", *selected, pause=0.002, watch=watch, code=1)
        with open(journal, encoding="utf-8") as f:
            first = next(e for e in map(json.loads, f) if e["event"] == "stage-start")
        shutil.rmtree(self.path("folder"))
        os.mkdir(self.path("folder"))
        self.helper("journal", self.path("folder"), str(n))
        report = self.gauntlet("report", "folder", "--report", "--report-file", "report.md",
                               pause=0.005)
        shutil.rmtree(self.path("folder"))
        return {"tests": n, "list_s": listed.wall_s, "list_kb": listed.max_rss_kb,
                "start_s": created[0] + first["t"] / 1e9, "start_kb": ran.peak_kb,
                "report_s": report.wall_s, "report_kb": report.max_rss_kb}

    def whole(self):
        """So many tests to the end."""
        n = self.count(MANY)
        ran = self.gauntlet("run", "-r", "folder", "-j", "2", *self.fakes("whole", n), pause=0.1)
        with open(self.path("folder", "results.json"), encoding="utf-8") as f:
            passed = json.load(f)["counts"]["by_verdict"]["PASS"]
        if passed != n:
            sys.exit(f"bench: {passed} of {n} fake tests pass")
        shutil.rmtree(self.path("folder"))
        self.found["whole"] = {"tests": n, "wall_s": ran.wall_s, "peak_kb": ran.peak_kb}
        table("A run of so many fake tests, all stages, at -j 2",
              ["tests", "s", "ms a test", "runner's peak MB"],
              [[n, f"{ran.wall_s:.0f}", f"{ran.wall_s * 1e3 / n:.1f}", f"{ran.peak_kb / 1024:.1f}"]],
              f"aim: < 64 MB with {MANY} tests")

    # ---- the journal ----

    def journal(self):
        n, rounds, all_found = self.count(2000), max(3, self.count(5)), []
        os.makedirs(self.path("journal"), exist_ok=True)
        for _ in range(rounds):
            all_found.append(self.helper("journal", self.path("journal"), str(n)))
        self.found["journal"] = all_found
        rows = [["bytes", str(round(all_found[0]["bytes"] / n)),
                 str(round(all_found[0]["bytes"] / all_found[0]["events"]))]]
        for key, label in (("append_ms", "write, us"), ("fold_ms", "fold, us"),
                           ("load_ms", "read and fold, us"), ("results_ms", "results.json, us")):
            values = [one[key] * 1000 for one in all_found]
            rows.append([label, show([v / n for v in values], 1),
                         show([v / all_found[0]["events"] for v in values])])
        table(f"The journal of {n} tests x {STAGES} stages, CPU time",
              ["", "a test", "an event"], rows)

    def close(self):
        shutil.rmtree(self.here, ignore_errors=True)


def smoke(bench):
    """What must hold on any machine; the exit code."""
    wrong = []

    def check(good, sentence):
        if not good:
            wrong.append(sentence)

    bench.jobs()
    bench.run()
    bench.many((MANY,))
    bench.whole()
    bench.journal()
    for one in bench.found["jobs"]:
        check(one["descriptors_left"] == 0,
              f"{bench.title(one)}: jobs leave {one['descriptors_left']} descriptors behind")
    check(len(bench.found["jobs"]) >= len(HOSTS), "a kind of host was not measured")
    own = statistics.median(bench.found["run"]["ms_per_job"]["own"])
    # A difference of two small runs: on a crowded machine it may even be below 0.
    check(own < CPU_MS_PER_JOB, f"runner and hosts take {own:.3f} ms of CPU time a job")
    for what in ("list", "start", "report"):
        peak = bench.found["many"][0][f"{what}_kb"]
        check(0 < peak < PEAK_KB, f"{what} of {MANY} tests takes {peak} KiB of memory")
    peak = bench.found["whole"]["peak_kb"]
    check(0 < peak < PEAK_KB, f"a run of {bench.found['whole']['tests']} tests takes {peak} KiB")
    for sentence in wrong:
        print(f"bench: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--json", metavar="FILE", help="everything that was measured, in FILE")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts")
    parser.add_argument("--scale", type=float, default=1, help="times as many repetitions")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="folder of the build")
    parser.add_argument("--smoke", action="store_true", help="small, and checked")
    arguments = parser.parse_args()
    if "GAUNTLET_BINARY" in os.environ:
        arguments.build = os.path.dirname(os.environ["GAUNTLET_BINARY"])
    bench = Bench(os.path.abspath(arguments.build), 0.03 if arguments.smoke else arguments.scale)
    try:
        print(f"Linux {platform.release()}, {os.cpu_count()} processors, "
              f"load {os.getloadavg()[0]:.1f}, files below {tempfile.gettempdir()}")
        code = 0
        if arguments.smoke:
            code = smoke(bench)
        else:
            for part in arguments.only:
                getattr(bench, part)()
        if arguments.json:
            with open(arguments.json, "w", encoding="utf-8") as f:
                json.dump(bench.found, f, indent=1)
        return code
    finally:
        bench.close()


if __name__ == "__main__":
    sys.exit(main())
