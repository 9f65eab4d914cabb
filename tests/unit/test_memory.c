// The limit of a tree's memory: real processes that take too much, or just enough, by every way that
// this machine allows. What it does not allow is skipped, with the reason.
#include "worker/memory.h"

#include "base/file.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)
#define LIMIT (48 * MIB)
#define TOO_MUCH 160
#define ENOUGH 8
#define TEST_LIMIT_S 170
#define PATIENCE_S 60
#define LOOKS 12 // at a tree that takes no more, before it may end

enum { GOOD = 0, STARVED = 9 };

// The only way that is allowed from here on; false, and a reason, if this machine has it not.
static bool open_kind(struct gt_memory *m, const char *way, enum gt_memory_kind kind)
{
	setenv("GAUNTLET_MEMORY", way, 1);
	gt_memory_open(m, LIMIT);
	if (m->kind == kind)
		return true;
	gt_memory_close(m);
	print_message("[  REASON  ] this machine gives no %s to user %u\n", way, (unsigned)getuid());
	return false;
}

// What the trees and who watches them tell each other; shared by all.
static struct {
	_Atomic int full; // how many have taken all that they take
	_Atomic bool borrows, go;
} *word;

// Take no more, but stay until somebody has looked.
static void linger(void)
{
	word->full++;
	while (!word->go)
		usleep(1000);
}

static void eat(size_t mib)
{
	for (size_t i = 0; i < mib; i++) {
		char *piece = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (piece == MAP_FAILED)
			_exit(STARVED);
		memset(piece, 1, MIB);
	}
}

// A child under the limit that takes `own` MiB itself and has `children` children that take `each`. They
// stay until somebody has looked.
static pid_t start(const struct gt_memory *m, size_t own, int children, size_t each)
{
	word->full = 0;
	word->go = false;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!gt_memory_enter(m))
		_exit(STARVED);
	for (int i = 0; i < children; i++) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			eat(each);
			linger();
			_exit(GOOD);
		}
	}
	eat(own);
	linger();
	while (wait(NULL) > 0)
		continue;
	_exit(GOOD);
}

// Watch a child as a supervisor does, until it has ended and all that it has left. True if the limit was
// met before. It may go when it has been looked at often enough since `full` have taken what they take;
// one that is to meet the limit never may, but for a failure of the test.
static bool watch(const struct gt_memory *m, pid_t pid, int full, bool too_much, int *status)
{
	bool met = false;
	int every = gt_memory_interval_ms(m), looks = 0;
	time_t until = time(NULL) + PATIENCE_S;
	while (waitpid(pid, status, WNOHANG) == 0) {
		bool settled = word->full >= full;
		usleep(every < 0 ? 10000 : (useconds_t)every * 200);
		if (every >= 0 && !met && gt_memory_exceeded(m)) {
			met = true;
			kill(pid, SIGKILL);
		}
		looks += settled && !too_much;
		if (looks >= LOOKS || time(NULL) > until)
			word->go = true;
	}
	word->go = true;
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	return met;
}

static void check(const char *way, enum gt_memory_kind kind, size_t own, int children, size_t each,
                  bool too_much)
{
	struct gt_memory m;
	int status = -1;
	if (!open_kind(&m, way, kind))
		skip();
	char group[sizeof m.group];
	memcpy(group, m.group, sizeof group);
	assert_int_equal(m.limit, LIMIT);
	pid_t pid = start(&m, own, children, each);
	bool met = watch(&m, pid, 1 + children, too_much, &status);
	bool counted = gt_memory_close(&m);
	assert_int_equal(met || counted, too_much);
	if (!too_much)
		assert_int_equal(status, 0);
	struct stat st;
	if (group[0])
		assert_int_equal(stat(group, &st), -1);
	assert_false(gt_memory_close(&m)); // once is enough
}

static const struct {
	const char *way;
	enum gt_memory_kind kind;
} ways[] = {{"cgroup2", GT_MEMORY_CGROUP2}, {"cgroup1", GT_MEMORY_CGROUP1},
            {"polling", GT_MEMORY_POLLING}};

static void check_way(size_t way)
{
	check(ways[way].way, ways[way].kind, ENOUGH, 0, 0, false);
	check(ways[way].way, ways[way].kind, ENOUGH, 2, ENOUGH, false);
	check(ways[way].way, ways[way].kind, TOO_MUCH, 0, 0, true);
	check(ways[way].way, ways[way].kind, 1, 1, TOO_MUCH, true);
	check(ways[way].way, ways[way].kind, 1, 4, 20, true); // none of them alone is over it
}

// The group that a process of ours is in, in the hierarchy that is used here; "" if it has none.
static void find_group(const struct gt_memory *m, char *path, size_t size)
{
	snprintf(path, size, "%s", m->group);
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
}

static bool write_text(const char *folder, const char *file, const char *text)
{
	char path[700];
	snprintf(path, sizeof path, "%s/%s", folder, file);
	FILE *f = fopen(path, "w");
	return f && fputs(text, f) >= 0 && fclose(f) == 0;
}

// In a group with a limit of its own, as in a container: the job has room, the group around has not.
static int starve_around(const char *around, const char *limit_file)
{
	struct gt_memory m;
	char text[32];
	int status = -1;
	snprintf(text, sizeof text, "%zu", LIMIT);
	if (!write_text(around, limit_file, text) || !write_text(around, "cgroup.procs", "0"))
		return 2;
	struct gt_memory_run run;
	gt_memory_begin(&run, 1024 * MIB);
	gt_memory_open(&m, 1024 * MIB);
	if (strncmp(m.group, around, strlen(around)) != 0)
		return 2;
	pid_t pid = start(&m, TOO_MUCH, 0, 0);
	bool met = watch(&m, pid, 1, false, &status);
	bool counted = gt_memory_close(&m);
	gt_memory_end(&run, 1024 * MIB);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? met || counted : 3;
}

static void test_limit_around(void **state)
{
	(void)state;
	struct gt_memory m;
	char around[600];
	unsetenv("GAUNTLET_MEMORY");
	gt_memory_open(&m, LIMIT);
	enum gt_memory_kind kind = m.kind;
	find_group(&m, around, sizeof around);
	gt_memory_close(&m);
	if (kind == GT_MEMORY_POLLING) {
		print_message("[  REASON  ] there are no memory cgroups here\n");
		skip();
	}
	size_t n = strlen(around);
	snprintf(around + n, sizeof around - n, "/gauntlet-around-%d", (int)getpid());
	if (mkdir(around, 0755) != 0) {
		print_message("[  REASON  ] no group can be made around the job's\n");
		skip();
	}
	pid_t pid = fork();
	if (pid == 0)
		_exit(starve_around(around, kind == GT_MEMORY_CGROUP2 ? "memory.max"
		                                                      : "memory.limit_in_bytes"));
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (int i = 0; i < 3000 && rmdir(around) != 0; i++)
		usleep(10000);
	if (WIFSIGNALED(status) || WEXITSTATUS(status) >= 2) {
		print_message("[  REASON  ] the group around the job's kills others than the job here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_cgroup2(void **state)
{
	(void)state;
	check_way(0);
}

static void test_cgroup1(void **state)
{
	(void)state;
	check_way(1);
}

static void test_polling(void **state)
{
	(void)state;
	check_way(2);
}

// Memory that a fork shares with its parent, and what is only mapped, is nobody's own.
static void test_private_only(void **state)
{
	(void)state;
	struct gt_memory m;
	int status = -1;
	char *shared = mmap(NULL, TOO_MUCH * MIB, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	memset(shared, 1, TOO_MUCH * MIB);
	for (size_t i = 0; i < GT_COUNTOF(ways); i++) {
		if (!open_kind(&m, ways[i].way, ways[i].kind))
			continue;
		word->full = 0;
		word->go = false;
		pid_t pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			(void)gt_memory_enter(&m);
			void *untouched = mmap(NULL, 100 * TOO_MUCH * MIB, PROT_READ | PROT_WRITE,
			                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
			volatile char sum = 0;
			for (size_t at = 0; at < TOO_MUCH * MIB; at += 4096)
				sum = (char)(sum + shared[at]);
			linger();
			_exit(untouched == MAP_FAILED ? STARVED : GOOD);
		}
		assert_false(watch(&m, pid, 1, false, &status));
		assert_false(gt_memory_close(&m));
		assert_int_equal(status, 0);
	}
	munmap(shared, TOO_MUCH * MIB);
}

// --- trees that are not simple: whoever starts whom, and whatever they share, each page counts once

static void *eat_in_a_child(void *unused)
{
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		eat(TOO_MUCH);
		linger();
		_exit(GOOD);
	}
	wait(NULL);
	return unused;
}

static void thread_has_a_child(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, eat_in_a_child, NULL);
	pthread_join(thread, NULL);
}

// What the parent and its children have together is private to none of them: it eats in bites that are
// no limit's worth, and after each there is somebody more to share it with.
static void share_by_fork(size_t mib)
{
	pid_t pids[8];
	for (size_t i = 0; i < GT_COUNTOF(pids); i++) {
		eat(mib / GT_COUNTOF(pids));
		pids[i] = fork();
		if (pids[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			pause();
			_exit(GOOD);
		}
	}
	linger();
	for (size_t i = 0; i < GT_COUNTOF(pids); i++)
		kill(pids[i], SIGKILL);
	while (wait(NULL) > 0)
		continue;
}

static void share_too_much(void)
{
	share_by_fork(TOO_MUCH);
}

static void share_enough(void)
{
	share_by_fork(ENOUGH);
}

// Most of the limit, in pages that are changed by nobody but freed with those who come and go.
static void fork_all_the_time(void)
{
	eat(LIMIT / MIB * 3 / 4);
	word->full++;
	for (int i = 0; i < 300 || !word->go; i++) {
		if (fork() == 0)
			_exit(GOOD);
		wait(NULL);
	}
}

// Two that write the same pages, the one right after the other.
static void share_mapped(void)
{
	volatile char *shared =
		mmap(NULL, TOO_MUCH * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();
	char mine = pid ? 1 : 2;
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t at = 0; at < TOO_MUCH * MIB; at += 4096) {
		while (pid == 0 && shared[at] == 0)
			usleep(100);
		shared[at] = mine;
		while (pid != 0 && at % MIB == 0 && shared[at] == 1)
			usleep(100);
	}
	linger();
	if (pid == 0)
		_exit(GOOD);
	waitpid(pid, NULL, 0);
}

// Two thirds of the limit, which a child borrows for a while before it execs.
static void *borrow(void *unused)
{
	pid_t pid = vfork();
	if (pid == 0) {
		word->borrows = true;
		linger();
		execl("/bin/true", "true", (char *)NULL);
		_exit(STARVED);
	}
	waitpid(pid, NULL, 0);
	return unused;
}

static void borrow_much(void)
{
	eat(LIMIT / MIB * 2 / 3);
	borrow(NULL);
}

static void borrow_in_a_thread(void)
{
	pthread_t thread;
	eat(LIMIT / MIB * 2 / 3);
	pthread_create(&thread, NULL, borrow, NULL);
	pthread_join(thread, NULL);
}

// Who was there before and has its own counts, also while its parent waits for a borrower.
static void borrow_beside_a_big_one(void)
{
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (!word->borrows)
			usleep(1000);
		eat(LIMIT / MIB * 2 / 3);
		linger();
		_exit(GOOD);
	}
	borrow_much();
	while (wait(NULL) > 0)
		continue;
}

static void test_odd_trees(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		void (*grow)(void);
		bool too_much;
	} trees[] = {
		{"child of a thread", thread_has_a_child, true},
		{"too much shared by fork", share_too_much, true},
		{"enough shared by fork", share_enough, false},
		{"shared mapping", share_mapped, true},
		{"forks all the time", fork_all_the_time, false},
		{"vfork", borrow_much, false},
		{"vfork in a thread", borrow_in_a_thread, false},
		{"vfork beside a big one", borrow_beside_a_big_one, true},
	};
	char *inherited = mmap(NULL, TOO_MUCH * MIB, PROT_READ | PROT_WRITE,
	                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < 2 * GT_COUNTOF(trees); i++) {
		const size_t n = i % GT_COUNTOF(trees);
		struct gt_memory m;
		int status = -1;
		bool heir = i != n; // the second time a lot is there by fork that is not the tree's own
		if (heir)
			memset(inherited, 1, 2 * LIMIT);
		assert_true(open_kind(&m, "polling", GT_MEMORY_POLLING));
		word->full = 0;
		word->go = word->borrows = false;
		pid_t pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			trees[n].grow();
			_exit(GOOD);
		}
		bool met = watch(&m, pid, 1, trees[n].too_much, &status);
		if (met != trees[n].too_much)
			fail_msg("%s%s: %s", trees[n].name, heir ? ", of a big host" : "",
			         met ? "killed" : "not killed");
		if (!met)
			assert_int_equal(status, 0);
	}
	munmap(inherited, TOO_MUCH * MIB);
}

static void test_no_limit(void **state)
{
	(void)state;
	unsetenv("GAUNTLET_MEMORY");
	struct gt_memory m;
	int status = -1;
	gt_memory_open(&m, 0);
	assert_int_equal(m.kind, GT_MEMORY_NONE);
	assert_int_equal(gt_memory_interval_ms(&m), -1);
	pid_t pid = start(&m, TOO_MUCH, 0, 0);
	while (word->full == 0)
		usleep(1000);
	assert_false(gt_memory_exceeded(&m)); // whatever it uses
	assert_false(watch(&m, pid, 1, false, &status));
	assert_int_equal(status, 0);
	assert_false(gt_memory_close(&m));
}

// There is always a way, and it is said which.
static void test_always_a_way(void **state)
{
	(void)state;
	static const char *const values[] = {"", "polling", "cgroup1", "cgroup2"};
	for (size_t i = 0; i < GT_COUNTOF(values); i++) {
		struct gt_memory m;
		setenv("GAUNTLET_MEMORY", values[i], 1);
		gt_memory_open(&m, LIMIT);
		assert_int_not_equal(m.kind, GT_MEMORY_NONE);
		gt_memory_close(&m);
	}
	setenv("GAUNTLET_MEMORY", "polling", 1);
	assert_string_equal(gt_memory_describe(), "polling of private memory");
	unsetenv("GAUNTLET_MEMORY");
	assert_string_not_equal(gt_memory_describe(), "none");
}

// --- a run in a group of version 2 of its own

static bool is_there(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

// Is the group as it was made: it hands nothing down, `pids` alone are in it, and no group is below it?
static bool is_as_before(const char *group, const pid_t *pids, size_t count)
{
	char path[700], found[64] = "\n", down[64] = "";
	struct gt_names below = {0};
	snprintf(path, sizeof path, "%s/cgroup.procs", group);
	bool same = gt_kernel_file_read(path, found + 1, sizeof found - 1);
	snprintf(path, sizeof path, "%s/cgroup.subtree_control", group);
	same = same && gt_kernel_file_read(path, down, sizeof down) && down[strspn(down, "\n")] == '\0';
	size_t lines = 0;
	for (const char *p = found + 1; *p; p++)
		lines += *p == '\n';
	for (size_t i = 0; i < count; i++) {
		char line[32];
		snprintf(line, sizeof line, "\n%d\n", (int)pids[i]);
		same = same && strstr(found, line);
	}
	same = gt_list_folder(group, &below, NULL) == GT_OK && same && lines == count;
	for (size_t i = 0; i < below.count; i++)
		same = same && strncmp(below.items[i], "gauntlet-", 9) != 0;
	gt_names_free(&below);
	return same;
}

enum { NOT_ENTERED = 2, WRONG_WAY, CHANGED, NOT_BESIDE, LEFT };

// In `group`, with or without another process: what a run gets, and how the group is then and afterwards.
static int run_in(const char *group, bool alone)
{
	struct gt_memory_run run;
	struct gt_memory m;
	pid_t pids[2] = {getpid()};
	if (!write_text(group, "cgroup.procs", "0"))
		return NOT_ENTERED;
	if (!alone) {
		pids[1] = fork();
		if (pids[1] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	size_t count = alone ? 1 : 2;
	const char *wanted = alone ? "cgroup v2" : "polling of private memory";
	if (strcmp(gt_memory_describe(), wanted) != 0)
		return WRONG_WAY;
	if (!is_as_before(group, pids, count))
		return CHANGED;
	for (int i = 0; i < 2; i++) {
		gt_memory_begin(&run, LIMIT);
		gt_memory_open(&m, LIMIT);
		if (m.kind != (alone ? GT_MEMORY_CGROUP2 : GT_MEMORY_POLLING))
			return WRONG_WAY;
		if (!alone && !is_as_before(group, pids, count))
			return CHANGED;
		char *slash = strrchr(m.group, '/');
		if (alone && (size_t)(slash - m.group) != strlen(group))
			return NOT_BESIDE;
		if (i == 0)
			gt_memory_close(&m);
		gt_memory_end(&run, LIMIT);
		if (i == 0 && !is_as_before(group, pids, count))
			return LEFT;
		gt_memory_close(&m); // the second time a supervisor is late
	}
	if (!alone) {
		kill(pids[1], SIGKILL);
		waitpid(pids[1], NULL, 0);
	}
	return is_as_before(group, pids, 1) ? 0 : LEFT;
}

static void test_run_in_a_group(void **state)
{
	(void)state;
	struct gt_memory m;
	char around[600];
	if (!open_kind(&m, "cgroup2", GT_MEMORY_CGROUP2))
		skip();
	unsetenv("GAUNTLET_MEMORY");
	find_group(&m, around, sizeof around);
	gt_memory_close(&m);
	size_t n = strlen(around);
	snprintf(around + n, sizeof around - n, "/gauntlet-around-%d", (int)getpid());
	assert_int_equal(mkdir(around, 0755), 0);
	for (int alone = 0; alone < 2; alone++) {
		int status = -1;
		pid_t pid = fork();
		if (pid == 0)
			_exit(run_in(around, alone));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < 3000 && rmdir(around) != 0; i++)
		usleep(10000);
	assert_false(is_there(around));
}

static void test_unknown_way(void **state)
{
	(void)state;
	struct gt_err err = {0};
	static const char *const good[] = {"", "polling", "cgroup1", "cgroup2"};
	static const char *const bad[] = {"cgroupv1", "polling ", "Polling", "none"};
	unsetenv("GAUNTLET_MEMORY");
	assert_int_equal(gt_memory_check(&err), GT_OK);
	for (size_t i = 0; i < GT_COUNTOF(good); i++) {
		setenv("GAUNTLET_MEMORY", good[i], 1);
		assert_int_equal(gt_memory_check(&err), GT_OK);
	}
	for (size_t i = 0; i < GT_COUNTOF(bad); i++) {
		setenv("GAUNTLET_MEMORY", bad[i], 1);
		assert_int_equal(gt_memory_check(&err), GT_BAD_USAGE);
		assert_non_null(strstr(err.text, bad[i]));
	}
	unsetenv("GAUNTLET_MEMORY");
}

// A group of a supervisor that was killed is swept away, and one in use is not.
static void test_sweep(void **state)
{
	(void)state;
	struct gt_memory m, own;
	size_t way = 0;
	while (way < 2 && !open_kind(&own, ways[way].way, ways[way].kind))
		way++;
	if (way == 2)
		skip();
	int pipe_[2];
	assert_int_equal(pipe(pipe_), 0);
	pid_t pid = fork();
	if (pid == 0) { // opens a group of its own and dies without closing it
		gt_memory_open(&m, LIMIT);
		(void)!write(pipe_[1], m.group, sizeof m.group);
		raise(SIGKILL);
	}
	assert_int_equal(read(pipe_[0], m.group, sizeof m.group), sizeof m.group);
	// Who is dead is gone, also if nobody has waited for it yet: an init may take seconds.
	siginfo_t ended;
	assert_int_equal(waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT), 0);
	assert_true(is_there(m.group));
	gt_memory_sweep();
	assert_false(is_there(m.group));
	waitpid(pid, NULL, 0);
	assert_true(is_there(own.group));
	// So is that of a whole run.
	char *other = strrchr(m.group, '-');
	sprintf(other, "-run-%d", (int)pid);
	assert_int_equal(mkdir(m.group, 0755), 0);
	gt_memory_sweep();
	assert_false(is_there(m.group));
	sprintf(other, "-run-%d", (int)getppid()); // who lives
	assert_int_equal(mkdir(m.group, 0755), 0);
	gt_memory_sweep();
	assert_int_equal(rmdir(m.group), 0);
	// A name that is none of ours stays.
	strcpy(other, "-x1");
	assert_int_equal(mkdir(m.group, 0755), 0);
	gt_memory_sweep();
	assert_int_equal(rmdir(m.group), 0);
	gt_memory_close(&own);
	assert_false(is_there(own.group));
	close(pipe_[0]);
	close(pipe_[1]);
}

// A group is there already that has our number: its owner is gone.
static void test_number_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct gt_memory first, again;
		if (!open_kind(&first, ways[i].way, ways[i].kind))
			continue;
		close(first.procs); // forgotten
		assert_true(open_kind(&again, ways[i].way, ways[i].kind));
		assert_string_equal(again.group, first.group);
		gt_memory_close(&again);
		assert_false(is_there(again.group));
	}
}

int main(void)
{
	alarm(TEST_LIMIT_S);
	prctl(PR_SET_CHILD_SUBREAPER, 1); // as a supervisor is
	word = mmap(NULL, sizeof *word, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgroup2),      cmocka_unit_test(test_cgroup1),
		cmocka_unit_test(test_polling),      cmocka_unit_test(test_private_only),
		cmocka_unit_test(test_odd_trees),    cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_always_a_way), cmocka_unit_test(test_unknown_way),
		cmocka_unit_test(test_sweep),        cmocka_unit_test(test_number_again),
		cmocka_unit_test(test_limit_around), cmocka_unit_test(test_run_in_a_group),
	};
	struct gt_memory_run run;
	gt_memory_begin(&run, LIMIT); // as a run does
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	gt_memory_end(&run, LIMIT);
	return failed;
}
