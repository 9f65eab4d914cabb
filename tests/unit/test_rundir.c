// The run directory: whose it is, who holds it, and its working folders.
#include "run/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static struct gt_rundir dir;
static struct gt_err err;

static int begin(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/gauntlet-rundir-XXXXXX");
	err = (struct gt_err){0};
	dir = (struct gt_rundir){.lock = -1};
	alarm(120);
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	alarm(0);
	return chdir("/") || gt_remove_tree(folder, NULL);
}

static void assert_refused(const char *path, gt_code code, const char *part)
{
	assert_int_equal(gt_rundir_open(path, &dir, &err), code);
	if (!strstr(err.text, part))
		fail_msg("'%s' does not say '%s'", err.text, part);
	assert_null(dir.path);
	assert_int_equal(dir.lock, -1);
}

static void open_and_close(const char *path)
{
	if (gt_rundir_open(path, &dir, &err))
		fail_msg("%s", err.text);
	gt_rundir_close(&dir);
}

static void test_ours(void **state)
{
	(void)state;
	assert_int_equal(gt_rundir_open("a/b", &dir, &err), GT_OK);
	assert_true(dir.path[0] == '/' && gt_is_folder(dir.tmp));
	char *tmp = gt_strdup(dir.tmp);
	gt_rundir_close(&dir);
	assert_false(gt_is_folder(tmp));
	free(tmp);
	open_and_close("a/b");
	// A run that was killed before its first event leaves a lock and working folders.
	assert_int_equal(gt_make_folders("a/b/tmp/job-0/x", &err), GT_OK);
	open_and_close("a/b");
	assert_int_equal(gt_file_write("a/b/.events.jsonl.tmp", "x", 1, &err), GT_OK);
	open_and_close("a/b");
	assert_false(gt_is_file("a/b/.events.jsonl.tmp"));
	assert_int_equal(gt_make_folders("other", &err), GT_OK);
	assert_int_equal(gt_file_write("other/precious", "x", 1, &err), GT_OK);
	assert_refused("other", GT_BAD_USAGE, "is not empty and no run has made it");
	assert_true(gt_is_file("other/precious"));
	assert_int_equal(gt_file_write("other/events.jsonl", "", 0, &err), GT_OK);
	open_and_close("other");
	assert_true(gt_is_file("other/precious"));
	assert_refused("other/precious", GT_IO, "cannot make folder");
	assert_refused("other/precious/x", GT_IO, "cannot make folder");
	assert_refused("bad\xFF" "name", GT_BAD_USAGE, "is not UTF-8");
}

static void test_lock(void **state)
{
	(void)state;
	struct gt_rundir second;
	assert_int_equal(gt_rundir_open("run", &dir, &err), GT_OK);
	assert_int_equal(gt_rundir_open("run", &second, &err), GT_BAD_USAGE);
	assert_non_null(strstr(err.text, "another gauntlet is running in"));
	assert_true(gt_is_folder(dir.tmp));
	// Links and detours lead to the same lock.
	assert_int_equal(symlink("run", "link"), 0);
	assert_int_equal(gt_rundir_open("./link/../link", &second, &err), GT_BAD_USAGE);
	// Whoever is started by us does not keep it.
	int started[2];
	char byte;
	assert_int_equal(pipe2(started, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/bin/sleep", "sleep", "600", (char *)NULL);
		_exit(1);
	}
	close(started[1]);
	assert_int_equal(read(started[0], &byte, 1), 0); // closed by exec
	close(started[0]);
	gt_rundir_close(&dir);
	int rc = gt_rundir_open("run", &dir, &err);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(rc, GT_OK);
	gt_rundir_close(&dir);
	// A lock that is a link is not followed.
	assert_int_equal(unlink("run/run.lock"), 0);
	assert_int_equal(symlink("/tmp/elsewhere", "run/run.lock"), 0);
	assert_refused("run", GT_IO, "cannot open");
}

// IREE pastes folder names into a shell command: such a name gets working folders elsewhere.
static void test_names_that_a_shell_reads(void **state)
{
	(void)state;
	char here[300], *base = gt_path_absolute(".");
	assert_int_equal(gt_make_folders("plain", &err), GT_OK);
	snprintf(here, sizeof here, "%s/plain", base);
	setenv("TMPDIR", here, 1);
	assert_int_equal(gt_rundir_open("a;touch b", &dir, &err), GT_OK);
	assert_true(gt_path_is_plain(dir.tmp) && gt_is_folder(dir.tmp));
	assert_int_equal(strncmp(dir.tmp, here, strlen(here)), 0);
	char *tmp = gt_strdup(dir.tmp);
	gt_rundir_close(&dir);
	assert_false(gt_is_folder(tmp));
	assert_int_equal(access("a;touch b/tmp", F_OK), -1);
	free(tmp);
	// $TMPDIR may be no better.
	snprintf(here, sizeof here, "%s/not plain", base);
	assert_int_equal(gt_make_folders(here, &err), GT_OK);
	setenv("TMPDIR", here, 1);
	assert_int_equal(gt_rundir_open("a;touch b", &dir, &err), GT_OK);
	assert_int_equal(strncmp(dir.tmp, "/tmp/gauntlet-run-", 18), 0);
	gt_rundir_close(&dir);
	free(base);
	unsetenv("TMPDIR");
}

// A run that is killed cannot clean up; the next one in its directory does.
static void test_left_over_working_folders(void **state)
{
	(void)state;
	struct gt_rundir killed;
	assert_int_equal(gt_rundir_open("a b", &dir, &err), GT_OK);
	killed = dir;
	close(killed.lock);
	assert_int_equal(gt_rundir_open("a b", &dir, &err), GT_OK);
	assert_string_not_equal(dir.tmp, killed.tmp);
	assert_false(gt_is_folder(killed.tmp));
	assert_true(gt_is_folder(dir.tmp));
	free(killed.tmp);
	free(killed.path);
	free(killed.elsewhere.path);
	// A copy of a run directory points at what is not its own.
	assert_int_equal(gt_make_folders("a copy", &err), GT_OK);
	assert_int_equal(symlink(dir.tmp, "a copy/tmp"), 0);
	struct gt_rundir copy;
	assert_int_equal(gt_rundir_open("a copy", &copy, &err), GT_OK);
	assert_true(gt_is_folder(dir.tmp));
	gt_rundir_close(&copy);
	// Nor is any other folder to be removed, also where the path needs no link.
	assert_int_equal(gt_make_folders("precious/x", &err), GT_OK);
	assert_int_equal(gt_make_folders("plain", &err), GT_OK);
	assert_int_equal(symlink("../precious", "plain/tmp"), 0);
	assert_int_equal(gt_rundir_open("plain", &copy, &err), GT_OK);
	gt_rundir_close(&copy);
	assert_true(gt_is_folder("precious/x"));
	gt_rundir_close(&dir);
}

// Has this process opened the lock, been refused and gone to sleep?
static bool waits_for_lock(pid_t pid)
{
	bool opened = false;
	char *fds = gt_format("/proc/%d/fd", (int)pid), *stat = gt_format("/proc/%d/stat", (int)pid);
	struct gt_names names = {0};
	struct gt_buf text = {0};
	(void)!gt_list_folder(fds, &names, NULL);
	for (size_t i = 0; i < names.count; i++) {
		char *fd = gt_path_join(fds, names.items[i]);
		char to[256] = "";
		(void)!readlink(fd, to, sizeof to - 1);
		opened = opened || strstr(to, "/run.lock");
		free(fd);
	}
	(void)!gt_file_read(stat, 4096, &text, NULL);
	bool sleeps = strstr(gt_buf_text(&text), ") S ") != NULL;
	gt_buf_free(&text);
	gt_names_free(&names);
	free(stat);
	free(fds);
	return opened && sleeps;
}

// Hold the lock of `run`, as a runner on its way out does or a report that is written, until this
// process waits for it.
static pid_t hold_lock(int operation)
{
	int lock = open("run/run.lock", O_RDONLY | O_CLOEXEC);
	pid_t parent = getpid();
	assert_int_equal(flock(lock, operation | LOCK_NB), 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (!waits_for_lock(parent))
			usleep(1000);
		_exit(0);
	}
	close(lock);
	return pid;
}

static void test_lock_of_one_who_leaves(void **state)
{
	(void)state;
	int lock;
	bool held;
	open_and_close("run");
	assert_int_equal(gt_make_folders("run/t", &err), GT_OK);
	assert_int_equal(gt_file_write("run/events.jsonl", "", 0, &err), GT_OK);
	pid_t pid = hold_lock(LOCK_EX);
	open_and_close("run");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	pid = hold_lock(LOCK_SH);
	open_and_close("run");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	pid = hold_lock(LOCK_EX);
	assert_int_equal(gt_rundir_share("run/t", &lock, &err), GT_OK);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(lock);
	// Who only looks in waits for nobody.
	assert_int_equal(gt_rundir_open("run", &dir, &err), GT_OK);
	gt_rundir_visit("run", &lock, &held);
	assert_true(held && lock < 0);
	gt_rundir_close(&dir);
	gt_rundir_visit("run", &lock, &held);
	assert_true(!held && lock >= 0);
	close(lock);
}

// `gauntlet stage` works in a test's folder: not while a run does, and no run while it does.
static void test_shared_lock(void **state)
{
	(void)state;
	struct gt_rundir second;
	int lock, other;
	assert_int_equal(gt_rundir_open("run", &dir, &err), GT_OK);
	assert_int_equal(gt_make_folders("run/t", &err), GT_OK);
	assert_int_equal(gt_rundir_share("run/t", &lock, &err), GT_BAD_USAGE);
	assert_non_null(strstr(err.text, "another gauntlet is running in the run directory of 'run/t'"));
	assert_int_equal(lock, -1);
	gt_rundir_close(&dir);
	assert_int_equal(gt_file_write("run/events.jsonl", "", 0, &err), GT_OK);
	assert_int_equal(gt_rundir_share("run/t", &lock, &err), GT_OK);
	assert_int_equal(gt_rundir_share("run/t", &other, &err), GT_OK);
	assert_int_equal(gt_rundir_open("run", &second, &err), GT_BAD_USAGE);
	close(other);
	close(lock);
	open_and_close("run");
	assert_int_equal(unlink("run/run.lock"), 0);
	assert_int_equal(gt_rundir_share("run/t", &lock, &err), GT_OK);
	assert_int_equal(lock, -1);
}

static void test_scratch(void **state)
{
	(void)state;
	int first = -1, second = -1;
	assert_int_equal(gt_rundir_open("run", &dir, &err), GT_OK);
	assert_int_equal(gt_rundir_scratch(&dir, "job-0", &first, &err), GT_OK);
	assert_int_equal(mkdirat(first, "sub", 0), 0);
	assert_int_equal(gt_rundir_scratch(&dir, "job-0", &second, &err), GT_OK);
	assert_int_equal(faccessat(second, "sub", F_OK, 0), -1);
	// A process of the last job that still runs can do nothing to the next.
	assert_int_equal(mkdirat(first, "late", 0755), -1);
	assert_int_equal(errno, ENOENT);
	close(first);
	close(second);
	gt_rundir_close(&dir);
}

static ino_t scratch_inode(void)
{
	struct stat st;
	int fd = -1;
	assert_int_equal(gt_rundir_scratch(&dir, "job-0", &fd, &err), GT_OK);
	assert_int_equal(fstat(fd, &st), 0);
	DIR *inside = fdopendir(fd);
	assert_non_null(inside);
	for (struct dirent *e; (e = readdir(inside));)
		assert_int_equal(e->d_name[0], '.');
	closedir(inside);
	assert_int_equal(st.st_mode & 07777, 0755);
	return st.st_ino;
}

// Same folder or another one: kept open meanwhile, so that its number cannot be given out again.
static bool is_kept(const char *changed)
{
	int held = open("run/tmp/job-0", O_RDONLY | O_CLOEXEC);
	struct stat st;
	assert_int_equal(fstat(held, &st), 0);
	if (strcmp(changed, "file") == 0)
		close(openat(held, "file", O_CREAT | O_WRONLY, 0600));
	else if (strcmp(changed, "folder") == 0)
		assert_int_equal(mkdirat(held, "folder", 0), 0);
	else if (strcmp(changed, "gone file") == 0)
		assert_true(close(openat(held, "x", O_CREAT | O_WRONLY, 0600)) == 0 &&
		            unlinkat(held, "x", 0) == 0);
	else if (strcmp(changed, "mode") == 0)
		assert_int_equal(fchmod(held, 0700), 0);
	else if (strcmp(changed, "dropped") == 0)
		gt_rundir_drop(&dir, "job-0");
	else if (strcmp(changed, "link") == 0)
		assert_true(rmdir("run/tmp/job-0") == 0 && symlink("..", "run/tmp/job-0") == 0);
	bool kept = scratch_inode() == st.st_ino;
	close(held);
	return kept;
}

// A folder that nobody touched is used again; whatever was done to one, the next is another.
static void test_scratch_again(void **state)
{
	(void)state;
	static const char *const changes[] = {"file", "folder", "gone file", "mode", "dropped", "link"};
	struct timespec tick = {.tv_nsec = 20000000}; // of the clock in an old kernel
	assert_int_equal(gt_rundir_open("run", &dir, &err), GT_OK);
	scratch_inode();
	struct statx st;
	assert_int_equal(statx(AT_FDCWD, "run/tmp/job-0", 0, STATX_BTIME, &st), 0);
	if (st.stx_mask & STATX_BTIME)
		assert_true(is_kept(""));
	for (size_t i = 0; i < GT_COUNTOF(changes); i++) {
		nanosleep(&tick, NULL);
		if (is_kept(changes[i]))
			fail_msg("a folder with a change of '%s' is used again", changes[i]);
	}
	gt_rundir_drop(&dir, "none");
	gt_rundir_close(&dir);
}

// Jobs of a run that was killed are waited for before anything is taken from under them: this one writes
// some time after the next run has come.
static void test_last_jobs(void **state)
{
	(void)state;
	assert_int_equal(gt_make_folders("run/tmp/job-0", &err), GT_OK);
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t job = fork();
	if (job == 0) {
		bool good = chdir("run/tmp/job-0") == 0 && write(ready[1], "x", 1) == 1;
		while (!gt_is_file("../../run.lock"))
			usleep(1000);
		usleep(300000);
		_exit(good && gt_file_write("last", "x", 1, NULL) == GT_OK ? 0 : 1);
	}
	char byte;
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(gt_rundir_open("run", &dir, &err), GT_OK);
	int status = -1;
	assert_int_equal(waitpid(job, &status, 0), job);
	assert_int_equal(status, 0); // nothing was in its way
	assert_false(gt_is_folder("run/tmp/job-0"));
	close(ready[0]);
	close(ready[1]);
	gt_rundir_close(&dir);
}

// A lock that is a pipe with a name must keep nobody waiting.
static void test_lock_is_a_pipe(void **state)
{
	(void)state;
	int lock;
	assert_int_equal(gt_make_folders("run/t", &err), GT_OK);
	assert_int_equal(gt_file_write("run/events.jsonl", "", 0, &err), GT_OK);
	assert_int_equal(mkfifo("run/run.lock", 0600), 0);
	assert_int_equal(gt_rundir_share("run/t", &lock, &err), GT_OK);
	close(lock);
	assert_int_equal(gt_rundir_open("run", &dir, &err), GT_OK);
	gt_rundir_close(&dir);
}

// It was removed, replaced, or closed to us.
static void test_place(void **state)
{
	(void)state;
	assert_int_equal(gt_rundir_open("run", &dir, &err), GT_OK);
	assert_int_equal(gt_rundir_check_place(&dir, &err), GT_OK);
	assert_int_equal(rename("run", "moved"), 0);
	assert_int_equal(gt_rundir_check_place(&dir, &err), GT_DISK);
	assert_int_equal(gt_make_folders("run", &err), GT_OK);
	assert_int_equal(gt_file_write("run/run.lock", "", 0, &err), GT_OK);
	assert_int_equal(gt_rundir_check_place(&dir, &err), GT_DISK);
	assert_non_null(strstr(err.text, "/run' was removed or replaced during the run"));
	assert_int_equal(gt_remove_tree("run", &err), GT_OK);
	assert_int_equal(rename("moved", "run"), 0);
	assert_int_equal(gt_rundir_check_place(&dir, &err), GT_OK);
	gt_rundir_close(&dir);
}

#define DIR_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(test_ours),    DIR_TEST(test_lock), DIR_TEST(test_names_that_a_shell_reads),
		DIR_TEST(test_left_over_working_folders), DIR_TEST(test_shared_lock),
		DIR_TEST(test_lock_of_one_who_leaves),
		DIR_TEST(test_scratch), DIR_TEST(test_scratch_again), DIR_TEST(test_last_jobs),
		DIR_TEST(test_lock_is_a_pipe), DIR_TEST(test_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
