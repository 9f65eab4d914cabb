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
	close(j.fd);
	j.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_int_equal(append(&j, "two"), GT_DISK);
	assert_string_equal(err.text, "cannot write the journal events.jsonl: No space left on device");
	assert_int_equal(j.seq, 1); // it has not happened
	assert_int_equal(gt_journal_close(&j, &err), GT_OK); // nothing to bring to this disk
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
	assert_int_equal(write(j.fd, "{\"seq\":2,", 9), 9);
	assert_int_equal(gt_journal_close(&j, &err), GT_OK);
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

#define JOURNAL_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {JOURNAL_TEST(test_lines), JOURNAL_TEST(test_failures),
	                                   JOURNAL_TEST(test_continue)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
