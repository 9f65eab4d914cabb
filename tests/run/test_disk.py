"""A disk that is full, broken or read-only from any moment on, under a run.

GAUNTLET_BINARY names the program. What must hold: the journal can be read, no test is blamed, the
run ends with exit code 3 and a sentence that names the cause, and nothing is left behind. Or the
disk sufficed: then everything is as always.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from test_faults import marked, read_events

BINARY = os.path.abspath(os.environ.get("GAUNTLET_BINARY", "build/gauntlet"))
PATIENCE = 120
PAGE = 4096

# Takes all stages, writes what a real test would, and a failure of its own among them.
TESTS = {"good": {}, "wrong": {"compiled_inference": "wrong"}, "prints": {"compilation": "flood:1"},
         "says_no": {"import_model": "error:there is no such operator"},
         "crashes": {"native_inference": "segv"}}
STATUSES = {"good": ("PASS", ""), "wrong": ("Numerics", "value"), "prints": ("PASS", ""),
            "says_no": ("import_model", "error"), "crashes": ("native_inference", "crash:SIGSEGV")}
FEW_STAGES = ["--stages", "setup", "construct_inputs", "native_inference"]
FEW_STATUSES = {name: ("PASS", "partial") for name in TESTS}
FEW_STATUSES["crashes"] = STATUSES["crashes"]
FULL = r"No space left on device|is full: make room"

# Fails the Nth call that touches the run directory, and with STICKY all that follow.
SHIM = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int broken(const char *path)
{
	static long calls;
	const char *at = getenv("SHIM_AT"), *folder = getenv("SHIM_FOLDER");
	if (!at || !folder || !path || strncmp(path, folder, strlen(folder)) != 0)
		return 0;
	calls++;
	if (calls != atol(at) && !(getenv("SHIM_STICKY") && calls > atol(at)))
		return 0;
	const char *note = getenv("SHIM_NOTE"); // that it did something
	int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
	close(real(note, O_WRONLY | O_CREAT, 0644));
	errno = EIO;
	return 1;
}

static int broken_fd(int fd)
{
	char name[64], path[PATH_MAX];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(name, path, sizeof path - 1);
	path[n > 0 ? n : 0] = '\0';
	return broken(path);
}

#define REAL(type, name, ...) type (*real)(__VA_ARGS__) = dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t n)
{
	REAL(ssize_t, write, int, const void *, size_t);
	return broken_fd(fd) ? -1 : real(fd, bytes, n);
}

int fdatasync(int fd)
{
	REAL(int, fdatasync, int);
	return broken_fd(fd) ? -1 : real(fd);
}

int open(const char *path, int flags, ...)
{
	REAL(int, open, const char *, int, ...);
	va_list more;
	va_start(more, flags);
	mode_t mode = va_arg(more, mode_t);
	va_end(more);
	return broken(path) ? -1 : real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list more;
	va_start(more, flags);
	mode_t mode = va_arg(more, mode_t);
	va_end(more);
	return open(path, flags, mode);
}

int rename(const char *from, const char *to)
{
	REAL(int, rename, const char *, const char *);
	return broken(to) ? -1 : real(from, to);
}

int unlink(const char *path)
{
	REAL(int, unlink, const char *);
	return broken(path) ? -1 : real(path);
}

int mkdir(const char *path, mode_t mode)
{
	REAL(int, mkdir, const char *, mode_t);
	return broken(path) ? -1 : real(path, mode);
}
'''


class Disk(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="gauntlet-disk-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.marker = f"gauntlet-disk-{os.getpid()}-{time.time_ns()}"
        self.tmp = os.path.join(self.folder, "tmp")
        os.mkdir(self.tmp)
        self.run_folder = os.path.join(self.folder, "run")
        self.suite = os.path.join(self.folder, "disk.fake")
        with open(self.suite, "w", encoding="utf-8") as f:
            json.dump(TESTS, f)

    def mount(self, size):
        """A file system of so many bytes, for the run directory."""
        small = os.path.join(self.folder, "small")
        os.makedirs(small, exist_ok=True)
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", small],
                               capture_output=True, text=True, check=False)
        if mount.returncode:
            self.skipTest(f"may not mount a small file system: {mount.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", small], check=False, capture_output=True)
        self.run_folder = os.path.join(small, "run")
        return small

    def run_tests(self, *arguments, suite=None, before=None, **environment):
        env = {**os.environ, "GAUNTLET_FAKE": "1", "TMPDIR": self.tmp, "COLUMNS": "80",
               "PATH": f"/nonexistent/{self.marker}:{os.environ.get('PATH', '')}", **environment}
        return subprocess.run(
            [BINARY, "run", "-r", self.run_folder, "--suite", suite or self.suite, "-j", "3",
             "--torchtolinalg", *arguments], capture_output=True, text=True, check=False, env=env,
            cwd=self.folder, timeout=PATIENCE, preexec_fn=before)

    def events(self):
        return read_events(self.run_folder)

    def check(self, ran, says, statuses):
        """As always, or stopped with the cause; returns True if it was stopped."""
        events = self.events()
        for e in events:
            if e["event"] == "test-end":
                self.assertEqual((e["status"], e["why"]), statuses[e["test"]], e)
        left = marked(self.marker)
        until = time.monotonic() + 20
        while left and time.monotonic() < until:
            time.sleep(0.01)
            left = marked(self.marker)
        self.assertEqual(left, [])
        self.assertEqual(os.listdir(self.tmp), [])
        self.assertEqual(ran.err_lines, [line for line in ran.err_lines
                                         if line.startswith("gauntlet: ")])
        if ran.returncode in (0, 1):
            self.assertEqual(ran.stderr, "")
            self.assertEqual(sum(e["event"] == "test-end" for e in events), len(statuses))
            return False
        unusable = not events and "flag '--rundirectory'" in ran.stderr
        unread = "gauntlet: audit:" in ran.stderr  # the error came when all was over but the audit
        self.assertIn(ran.returncode, (2,) if unusable else (3, 6) if unread else (3,), ran)
        self.assertRegex(ran.err_lines[0], says)
        if events:
            report = subprocess.run([BINARY, "report", self.run_folder], capture_output=True,
                                    text=True, check=False, cwd=self.folder, timeout=PATIENCE)
            self.assertNotRegex(report.stderr, "damaged|journal|events.jsonl", ran)
        return True

    def one(self, says, *arguments, statuses=STATUSES, **options):
        ran = self.run_tests(*arguments, **options)
        ran.err_lines = ran.stderr.splitlines()
        return self.check(ran, says, statuses)

    # --- a full disk

    def sizes(self, step, *arguments, **options):
        """Runs on disks of every size until one suffices; how many did not."""
        stopped = 0
        while True:
            small = self.mount((stopped + 1) * step)
            with self.subTest(size=(stopped + 1) * step):
                again = self.one(FULL, *arguments, **options)
            subprocess.run(["umount", small], check=True)
            if not again:
                return stopped
            stopped += 1
            self.assertLess(stopped, 400)

    def test_full_at_any_page(self):
        """Every moment at which the runner or a job meets the end of the disk."""
        with open(self.suite, "w", encoding="utf-8") as f:
            json.dump({name: TESTS[name] for name in ("good", "wrong")}, f)
        statuses = {name: STATUSES[name] for name in ("good", "wrong")}
        self.assertGreater(self.sizes(PAGE, *FEW_STAGES[:3],
                                      statuses=dict.fromkeys(statuses, ("PASS", "partial"))), 10)

    def test_full_at_any_stage(self):
        """The same with all hosts, in larger steps; a failure is believed with much room only."""
        with open(self.suite, "w", encoding="utf-8") as f:
            json.dump({name: TESTS[name] for name in ("good", "wrong", "prints")}, f)
        statuses = {name: STATUSES[name] for name in ("good", "wrong", "prints")}
        self.assertGreater(self.sizes(128 * 1024, statuses=statuses), 5)

    def test_failures_with_little_room(self):
        """Who fails where there is hardly any room is not believed; with room it is."""
        self.mount("12m")
        self.assertTrue(self.one(FULL))
        self.mount("40m")
        self.assertFalse(self.one(FULL))

    def test_goes_on(self):
        """With room on the disk, --resume ends as if nothing had been."""
        for size in range(40, 400, 90):
            with self.subTest(size=size):
                small = self.mount(f"{size}k")
                self.assertTrue(self.one(FULL))
                subprocess.run(["mount", "-o", "remount,size=40m", small], check=True)
                self.assertFalse(self.one(FULL, *(["--resume"] if self.events() else [])))
                subprocess.run(["umount", small], check=True)

    def test_filled_by_others(self):
        """Real models and engines on disks that fill up on the way."""
        for size in (40, 100, 160):
            with self.subTest(size=size):
                small = self.mount(f"{size}k")
                names = ["test_abs", "test_softmax_example", "test_conv_with_strides_padding"]
                self.one(FULL, *names, "--reference", "ort", "--expect", "none", suite="onnx-node",
                         statuses=dict.fromkeys([f"{n}" for n in names], ("PASS", "")))
                subprocess.run(["umount", small], check=True)

    def test_limit_on_files(self):
        """ulimit -f: a sentence, no death by SIGXFSZ, no crash that a test is blamed for."""
        stopped = 0
        for size in range(0, 30000, 1024):
            with self.subTest(size=size):
                shutil.rmtree(self.run_folder, ignore_errors=True)
                stopped += self.one(
                    "File too large|is full", *FEW_STAGES, statuses=FEW_STATUSES,
                    before=lambda s=size: resource.setrlimit(resource.RLIMIT_FSIZE, (s, s)))
        self.assertGreater(stopped, 10)

    # --- a broken disk

    def test_removed(self):
        """A run directory that somebody removes or moves away."""
        statuses = {f"t{i}": ("PASS", "") for i in range(30)}
        os.mkdir(os.path.join(self.folder, "elsewhere"))
        for number, delay in enumerate((0.05, 0.15, 0.3)):
            for remove in (["rm", "-rf", self.run_folder],
                           ["mv", self.run_folder, f"elsewhere/{number}"]):
                with self.subTest(" ".join(remove), delay=delay):
                    gate = os.path.join(self.folder, f"{remove[0]}-{number}")
                    tests = {name: {"compilation": "sleep:50"} for name in statuses}
                    tests["t29"] = {"compilation": f"until:{gate}"}
                    with open(self.suite, "w", encoding="utf-8") as f:
                        json.dump(tests, f)

                    def away(command=remove, wait=delay, gate=gate):
                        until = time.monotonic() + PATIENCE
                        journal = os.path.join(self.run_folder, "events.jsonl")
                        while not os.path.exists(journal) and time.monotonic() < until:
                            time.sleep(0.005)
                        time.sleep(wait)
                        subprocess.run(command, cwd=self.folder, check=False, capture_output=True)
                        with open(gate, "w", encoding="utf-8"):
                            pass

                    thread = threading.Thread(target=away)
                    thread.start()
                    stopped = self.one("was removed or replaced during the run", statuses=statuses)
                    thread.join()
                    self.assertTrue(stopped)
                    shutil.rmtree(self.run_folder, ignore_errors=True)

    def test_error_at_any_call(self):
        """EIO for one call of the runner, whichever; or for all from that on."""
        source = os.path.join(self.folder, "shim.c")
        shim = os.path.join(self.folder, "shim.so")
        note = os.path.join(self.folder, "note")
        with open(source, "w", encoding="utf-8") as f:
            f.write(SHIM)
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", shim, source, "-ldl"],
                       check=True)
        with open(self.suite, "w", encoding="utf-8") as f:
            json.dump({name: TESTS[name] for name in ("good", "crashes")}, f)
        statuses = {name: FEW_STATUSES[name] for name in ("good", "crashes")}
        for sticky in ("", "1"):
            stopped, at, done = 0, 1, False
            while not done:
                shutil.rmtree(self.run_folder, ignore_errors=True)
                if os.path.exists(note):
                    os.unlink(note)
                with self.subTest(call=at, sticky=sticky):
                    env = {"SHIM_STICKY": "1"} if sticky else {}
                    stopped += self.one("Input/output error", *FEW_STAGES, statuses=statuses,
                                        LD_PRELOAD=shim, SHIM_AT=str(at), SHIM_NOTE=note,
                                        SHIM_FOLDER=self.run_folder, **env)
                done = not os.path.exists(note)
                at += 3 if sticky else 1
            self.assertGreater(stopped, 10)


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=sys.argv)
