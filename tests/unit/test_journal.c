// The journal: written line by line, readable up to the last whole one.
#include "base/file.h"
#include "core/result.h"
#include "run/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char *path;
static struct gt_err err;

static int begin(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/gauntlet-journal-XXXXXX");
	assert_non_null(mkdtemp(folder));
	path = gt_path_join(folder, "events.jsonl");
	err = (struct gt_err){0};
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(path);
	return gt_remove_tree(folder, NULL) ? -1 : 0;
}

static gt_code append(struct gt_journal *j, const char *name)
{
	json_t *event = json_pack("{s:s,s:s}", "event", "x", "name", name);
	gt_code rc = gt_journal_append(j, event, &err);
	json_decref(event);
	return rc;
}

static int64_t last_time;

static gt_code visit(void *user, const json_t *event, struct gt_err *e)
{
	(void)e;
	int64_t t = gt_json_integer_or(event, "t", -1);
	assert_true(t >= last_time);
	last_time = t;
	++*(int *)user;
	return GT_OK;
}

static int count_events(int64_t *torn)
{
	int count = 0;
	last_time = 0;
	if (gt_event_read_file(path, visit, &count, torn, &err))
		fail_msg("%s", err.text);
	return count;
}

static void test_lines(void **state)
{
	(void)state;
	struct gt_journal j;
	int64_t torn;
	assert_int_equal(gt_journal_create(folder, &j, &err), GT_OK);
	assert_int_equal(j.seq, GT_EVENT_FIRST);
	assert_int_equal(append(&j, "one"), GT_OK);
	// Each line is there before anybody looks at what it tells.
	assert_int_equal(count_events(&torn), 1);
	assert_int_equal(append(&j, "two\n"), GT_OK);
	assert_int_equal(count_events(&torn), 2);
	assert_int_equal(torn, -1);
	assert_int_equal(gt_journal_close(&j, &err), GT_OK);
	assert_int_equal(j.fd, -1);
	// A new run begins a new one; who reads the old one goes on reading it.
	int old = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(gt_journal_create(folder, &j, &err), GT_OK);
	assert_int_equal(count_events(&torn), 0);
	char byte;
	assert_int_equal(read(old, &byte, 1), 1);
	close(old);
	assert_int_equal(gt_journal_close(&j, &err), GT_OK);
}

// Killed at any moment, a run leaves a journal: the old one or the new one.
static void test_is_always_there(void **state)
{
	(void)state;
	struct gt_journal j;
	assert_int_equal(gt_journal_create(folder, &j, &err), GT_OK);
	assert_int_equal(append(&j, "one"), GT_OK);
	assert_int_equal(gt_journal_close(&j, &err), GT_OK);
	char *left = gt_path_join(folder, GT_JOURNAL_NEW); // of one who was killed in between
	assert_int_equal(gt_file_write(left, "x", 1, &err), GT_OK);
	int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	assert_true(inotify_add_watch(watch, folder, IN_CREATE | IN_DELETE | IN_MOVE) >= 0);
	assert_int_equal(gt_journal_create(folder, &j, &err), GT_OK);
	_Alignas(struct inotify_event) char seen[4096];
	ssize_t n = read(watch, seen, sizeof seen);
	bool replaced = false;
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const void *)(seen + at);
		bool journal = strcmp(e->name, "events.jsonl") == 0;
		assert_false(journal && !(e->mask & IN_MOVED_TO));
		replaced = replaced || journal;
		at += (ssize_t)(sizeof *e + e->len);
	}
	assert_true(replaced);
	close(watch);
	assert_false(gt_is_file(left));
	free(left);
	assert_int_equal(gt_journal_close(&j, &err), GT_OK);
}

static void test_failures(void **state)
{
	(void)state;
	struct gt_journal j;
	char *none = gt_path_join(folder, "none");
	assert_int_equal(gt_journal_create(none, &j, &err), GT_NOT_FOUND);
	assert_non_null(strstr(err.text, "cannot create"));
	free(none);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(gt_journal_create(folder, &j, &err), GT_IO);
	assert_non_null(strstr(err.text, "cannot replace"));
	assert_int_equal(rmdir(path), 0);
	// A link in its place is replaced, not written through.
	assert_int_equal(symlink("/dev/full", path), 0);
	assert_int_equal(gt_journal_create(folder, &j, &err), GT_OK);
	assert_int_equal(append(&j, "one"), GT_OK);
	struct rlimit before, most;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	most = (struct rlimit){(rlim_t)j.length, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &most), 0);
	assert_int_equal(append(&j, "two"), GT_DISK);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_string_equal(err.text, "cannot write the journal events.jsonl: File too large");
	assert_int_equal(j.seq, 1); // it has not happened
	assert_int_equal(gt_journal_close(&j, &err), GT_OK);
	assert_int_equal(gt_journal_close(&j, &err), GT_OK);
}

// Behind the last whole line: numbers and times go on, what was torn is gone.
static void test_continue(void **state)
{
	(void)state;
	struct gt_journal j;
	struct gt_journal_end end = {0};
	int64_t torn;
	assert_int_equal(gt_journal_create(folder, &j, &err), GT_OK);
	assert_int_equal(append(&j, "one"), GT_OK);
	assert_int_equal(append(&j, "two"), GT_OK);
	assert_int_equal(gt_journal_close(&j, &err), GT_OK);
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, "{\"seq\":2,", 9), 9);
	close(fd);
	assert_int_equal(count_events(&torn), 2);
	end.events = 2;
	end.length = torn;
	end.t = last_time + 3600000000000; // as if an hour had been spent
	assert_int_equal(gt_journal_continue(folder, &end, &j, &err), GT_OK);
	assert_int_equal(append(&j, "three"), GT_OK);
	assert_int_equal(count_events(&torn), 3);
	assert_int_equal(torn, -1);
	assert_true(last_time >= end.t && last_time < end.t + 60000000000);
	assert_int_equal(gt_journal_close(&j, &err), GT_OK);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(gt_journal_continue(folder, &end, &j, &err), GT_NOT_FOUND);
	assert_non_null(strstr(err.text, "to go on with it"));
}

static void assert_says(gt_code rc, const char *part)
{
	assert_int_equal(rc, GT_DISK);
	if (!strstr(err.text, part) || !strstr(err.text, folder) || !strstr(err.text, "run again"))
		fail_msg("'%s' does not say '%s'", err.text, part);
}

// Nothing is appended to a journal that somebody has touched, nor is it taken for what was written.
static void test_touched(void **state)
{
	(void)state;
	struct gt_journal j;
	struct gt_journal_end end = {0};
	int64_t torn;
	char byte = 0;
	assert_int_equal(gt_journal_create(folder, &j, &err), GT_OK);
	for (int i = 0; i < 700; i++) // more than is read at once
		assert_int_equal(append(&j, "some text that makes a longer line of an event, and so on and on"),
		                 GT_OK);
	assert_int_equal(gt_journal_verify(&j, &err), GT_OK);
	assert_true(j.length > 70000 && j.length == gt_file_size(path));
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int64_t places[] = {0, j.length / 2, j.length - 1};
	for (size_t i = 0; i < GT_COUNTOF(places); i++) {
		assert_int_equal(pread(fd, &byte, 1, places[i]), 1);
		assert_int_equal(pwrite(fd, "?", 1, places[i]), 1);
		assert_says(gt_journal_verify(&j, &err), "was changed during the run");
		assert_int_equal(pwrite(fd, &byte, 1, places[i]), 1);
		assert_int_equal(gt_journal_verify(&j, &err), GT_OK);
	}
	assert_int_equal(pwrite(fd, "x", 1, j.length), 1);
	assert_says(append(&j, "more"), "was changed during the run: it has");
	assert_int_equal(ftruncate(fd, j.length), 0);
	assert_int_equal(append(&j, "more"), GT_OK);
	// Who goes on knows what was there before.
	assert_int_equal(gt_journal_close(&j, &err), GT_OK);
	end.events = (uint64_t)count_events(&torn);
	end.length = gt_file_size(path);
	assert_int_equal(gt_journal_continue(folder, &end, &j, &err), GT_OK);
	assert_int_equal(append(&j, "more"), GT_OK);
	assert_int_equal(gt_journal_verify(&j, &err), GT_OK);
	assert_int_equal(pwrite(fd, "?", 1, 5), 1);
	assert_says(gt_journal_verify(&j, &err), "was changed during the run");
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_says(append(&j, "more"), "it has 0 bytes where");
	assert_int_equal(gt_file_size(path), 0);
	close(fd);
	// The same bytes in another file are not it.
	assert_int_equal(unlink(path), 0);
	assert_says(append(&j, "more"), "was removed or replaced");
	assert_says(gt_journal_verify(&j, &err), "was removed or replaced");
	assert_int_equal(gt_file_write(path, "", 0, &err), GT_OK);
	assert_says(append(&j, "more"), "was removed or replaced");
	assert_says(gt_journal_close(&j, &err), "was removed or replaced");
}

#define JOURNAL_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {JOURNAL_TEST(test_lines), JOURNAL_TEST(test_is_always_there), JOURNAL_TEST(test_failures),
	                                   JOURNAL_TEST(test_continue), JOURNAL_TEST(test_touched)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
