// The processes below one: all of them are found, whichever thread started them and however many.
#include "worker/tree.h"

#include "base/status.h"

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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 900 // their numbers are more than a page of text
#define TEST_LIMIT_S 150

// Who is there, in the order in which they came; shared by all.
static struct {
	_Atomic int begun, count; // count: how many are written down
	_Atomic bool borrows, go;
	long pids[MANY + 8];
} *made;

struct seen {
	size_t count, borrowers;
	long pids[MANY + 8];
	long borrower;
};

static void see(long pid, bool borrows, void *user)
{
	struct seen *seen = user;
	if (seen->count < GT_COUNTOF(seen->pids))
		seen->pids[seen->count++] = pid;
	if (borrows) {
		seen->borrowers++;
		seen->borrower = pid;
	}
}

static void add_self(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	made->pids[made->begun++] = getpid();
	made->count++;
}

static _Noreturn void stay(void)
{
	for (;;)
		pause();
}

static pid_t start(void (*be)(void))
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		add_self();
		be();
		stay();
	}
	return pid;
}

static void wait_for(int count)
{
	for (int i = 0; i < 30000 && made->count < count; i++)
		usleep(2000);
	assert_int_equal(made->count, count);
}

// Each once, the older first along every line: here every process is younger than its parent.
static void check_all(const struct seen *seen)
{
	assert_int_equal(seen->count, made->count);
	for (int i = 0; i < made->count; i++) {
		size_t times = 0;
		for (size_t k = 0; k < seen->count; k++)
			times += seen->pids[k] == made->pids[i];
		assert_int_equal(times, 1);
	}
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	while (gt_tree_kill_children(NULL, NULL) > 0)
		while (waitpid(-1, NULL, 0) > 0)
			continue;
	made->begun = made->count = 0;
}

static void *start_in_a_session(void *unused)
{
	if (fork() == 0) {
		setsid();
		prctl(PR_SET_NAME, "in (a) session");
		add_self();
		if (fork() == 0) {
			add_self();
			stay();
		}
		stay();
	}
	while (!unused)
		pause();
	return NULL;
}

static void start_in_threads(void)
{
	for (int i = 0; i < 3; i++) {
		pthread_t thread;
		pthread_create(&thread, NULL, start_in_a_session, NULL);
	}
}

static void test_threads(void **state)
{
	(void)state;
	struct seen seen = {0};
	pid_t pid = start(start_in_threads);
	wait_for(7);
	gt_tree_visit(see, &seen);
	check_all(&seen);
	assert_int_equal(seen.pids[0], pid);
	assert_int_equal(seen.borrowers, 0);
	end(pid);
}

// A child with that name, or one that there is no more; it may be dead already.
static pid_t start_named(const char *name, bool dead)
{
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, name);
		kill(getpid(), dead ? SIGKILL : SIGSTOP);
	}
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOWAIT), 0);
	return pid;
}

static void test_names(void **state)
{
	(void)state;
	struct gt_tree_names names = {0};
	char text[128], little[32];
	gt_tree_names_text(&names, text, sizeof text);
	assert_string_equal(text, "");
	static const char *const called[] = {"in (a) session", "b) R", "b) R", "a"};
	pid_t pid = 0;
	for (size_t i = 0; i < GT_COUNTOF(called); i++) {
		pid = start_named(called[i], i % 2);
		gt_tree_names_add(&names, pid);
		end(pid);
	}
	gt_tree_names_add(&names, pid); // nobody is left to ask
	gt_tree_names_text(&names, text, sizeof text);
	assert_string_equal(text, "?, a, b) R (2), in (a) session");
	gt_tree_names_text(&names, little, sizeof little);
	assert_string_equal(little, "?, a, others (3)");
	names = (struct gt_tree_names){.count = 1, .items = {{"sh", 3}}, .others = 1};
	gt_tree_names_text(&names, little, sizeof little);
	assert_string_equal(little, "sh (3), others (1)");
}

static void start_many(void)
{
	for (int i = 0; i < MANY; i++)
		if (fork() == 0) {
			add_self();
			stay();
		}
}

static void test_many(void **state)
{
	(void)state;
	static struct seen seen;
	pid_t pid = start(start_many);
	wait_for(MANY + 1);
	gt_tree_visit(see, &seen);
	check_all(&seen);
	end(pid);
}

static void *make_borrower(void *file)
{
	pid_t pid = vfork();
	if (pid == 0) {
		made->borrows = true;
		while (!made->go)
			usleep(1000);
		execl(file, file, "600", (char *)NULL);
		_exit(1);
	}
	return NULL;
}

static void vfork_in_a_thread(void)
{
	pthread_t thread;
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		stay();
	}
	pthread_create(&thread, NULL, make_borrower, "/bin/sleep");
}

// The parent waits a moment later than its child runs, and sees a moment later what that has done.
static void see_borrowers(size_t wanted, struct seen *seen)
{
	for (int i = 0; i < 30000; i++) {
		*seen = (struct seen){0};
		gt_tree_visit(see, seen);
		assert_int_equal(seen->count, 3);
		if (seen->borrowers == wanted)
			return;
		usleep(2000);
	}
	fail_msg("%zu borrowers instead of %zu", seen->borrowers, wanted);
}

// A child has its parent's memory from vfork() to exec, not before it exists and not after.
static void test_borrows(void **state)
{
	(void)state;
	struct seen during = {0}, after = {0};
	pid_t pid = start(vfork_in_a_thread);
	for (int i = 0; i < 30000 && !made->borrows; i++)
		usleep(2000);
	see_borrowers(1, &during);
	made->go = true;
	see_borrowers(0, &after);
	assert_true(during.borrower != pid && during.borrower != 0);
	end(pid);
}

static bool is_first(const void *user, pid_t pid)
{
	return pid == *(const pid_t *)user;
}

static void nothing(void)
{
}

static void test_kill_children(void **state)
{
	(void)state;
	assert_int_equal(gt_tree_kill_children(NULL, NULL), 0);
	pid_t first = start(nothing);
	(void)start(start_in_threads); // of whom only the first is our child
	(void)start(nothing);
	wait_for(9);
	assert_int_equal(gt_tree_kill_children(is_first, &first), 2);
	assert_int_equal(waitpid(first, NULL, WNOHANG), 0);
	// With their parents dead the others come to us, and each round reaches the next of them.
	int rounds = 0;
	for (pid_t pid; (pid = waitpid(-1, NULL, 0)) > 0 && pid != first; rounds++)
		if (gt_tree_kill_children(is_first, &first) == 0)
			kill(first, SIGKILL);
	assert_int_equal(gt_tree_kill_children(NULL, NULL), 0);
	assert_true(rounds >= 2);
	struct seen seen = {0};
	gt_tree_visit(see, &seen);
	assert_int_equal(seen.count, 0);
	made->begun = made->count = 0;
}

int main(void)
{
	alarm(TEST_LIMIT_S);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_borrows),
		cmocka_unit_test(test_kill_children),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
