// What a host finds out about namespaces holds for all its jobs: an accident on the way is no answer.
#include "worker/isolation.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define STRIKES 60

// What the one who probes and the one who strikes know of each other.
struct game {
	atomic_int probes; // that have ended
	atomic_bool over;
};

static enum gt_isolation_kind probe(void)
{
	struct gt_isolation isolation;
	gt_isolation_probe(&isolation);
	close(isolation.home);
	return isolation.kind;
}

// Probe again and again; the exit code tells whether the answer was always the same.
static _Noreturn void probe_on(struct game *game, enum gt_isolation_kind expected)
{
	bool same = true;
	while (same && !atomic_load(&game->over)) {
		same = probe() == expected;
		atomic_fetch_add(&game->probes, 1);
	}
	_exit(same ? 0 : 1);
}

static pid_t first_child(pid_t pid)
{
	char path[64];
	int child = 0;
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	FILE *f = fopen(path, "re");
	if (f) {
		if (fscanf(f, "%d", &child) != 1)
			child = 0;
		fclose(f);
	}
	return child;
}

// Kill a process that a probe has started, `depth` generations down; one for each probe.
static void strike(struct game *game, pid_t prober, int depth)
{
	int struck = -1;
	for (int strikes = 0, status; strikes < STRIKES;) {
		int now = atomic_load(&game->probes);
		pid_t victim = prober;
		for (int i = 0; i < depth && victim > 0; i++)
			victim = first_child(victim);
		if (victim > 0 && now != struck && kill(victim, SIGKILL) == 0) {
			struck = now;
			strikes++;
		}
		if (waitpid(prober, &status, WNOHANG) == prober)
			fail_msg("after %d strikes the answer was another", strikes);
	}
}

static void disturb(const char *wanted, int depth)
{
	if (wanted)
		setenv("GAUNTLET_ISOLATION", wanted, 1);
	else
		unsetenv("GAUNTLET_ISOLATION");
	enum gt_isolation_kind expected = probe();
	struct game *game = mmap(NULL, sizeof *game, PROT_READ | PROT_WRITE,
	                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(game, MAP_FAILED);
	pid_t prober = expected == GT_ISOLATION_NONE ? -1 : fork();
	if (prober == 0)
		probe_on(game, expected);
	if (prober > 0) {
		strike(game, prober, depth);
		atomic_store(&game->over, true);
		int status;
		assert_int_equal(waitpid(prober, &status, 0), prober);
		assert_int_equal(status, 0);
	}
	munmap(game, sizeof *game);
	if (prober < 0)
		skip(); // no namespace can be had here at all
}

static void test_probe_is_killed(void **state)
{
	(void)state;
	disturb(NULL, 1);
}

static void test_first_process_is_killed(void **state)
{
	(void)state;
	disturb(NULL, 2);
}

static void test_probe_in_user_namespace_is_killed(void **state)
{
	(void)state;
	disturb("user", 1);
}

static void test_go_between_is_killed(void **state)
{
	(void)state;
	disturb("user", 2);
}

static void test_first_process_in_user_namespace_is_killed(void **state)
{
	(void)state;
	disturb("user", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe_is_killed),
		cmocka_unit_test(test_first_process_is_killed),
		cmocka_unit_test(test_probe_in_user_namespace_is_killed),
		cmocka_unit_test(test_go_between_is_killed),
		cmocka_unit_test(test_first_process_in_user_namespace_is_killed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
