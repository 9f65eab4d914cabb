// Whole runs, byte by byte: from the events of tests/golden/<name>/source.jsonl to the journal, and
// from the journal to every report. GAUNTLET_UPDATE_GOLDEN=1 rewrites what is expected.
#include "base/file.h"
#include "core/event.h"
#include "report/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_BYTES ((size_t)16 << 20)

static char *golden;    // folder of the golden runs
static char scratch[] = "/tmp/gauntlet-golden-XXXXXX";

static int find_golden(void **state)
{
	(void)state;
	const char *tests = getenv("GAUNTLET_TESTS");
	assert_non_null(tests);
	golden = gt_path_join(tests, "golden");
	return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **state)
{
	(void)state;
	free(golden);
	return gt_remove_tree(scratch, NULL) ? -1 : 0;
}

static void must(gt_code rc, const struct gt_err *err)
{
	if (rc)
		fail_msg("%s", err->text);
}

static void read_all(const char *folder, const char *name, struct gt_buf *out)
{
	struct gt_err err = {0};
	char *path = gt_path_join(folder, name);
	must(gt_file_read(path, MAX_BYTES, out, &err), &err);
	free(path);
}

// `bytes` must be what <golden>/<run>/<name> holds, or become it.
static void check_bytes(const char *run, const char *name, const struct gt_buf *bytes)
{
	const char *update = getenv("GAUNTLET_UPDATE_GOLDEN");
	struct gt_err err = {0};
	struct gt_buf wanted = {0};
	char *folder = gt_path_join(golden, run), *path = gt_path_join(folder, name);
	if (update && *update)
		must(gt_file_write(path, gt_buf_text(bytes), bytes->length, &err), &err);
	read_all(folder, name, &wanted);
	size_t i = 0;
	while (i < wanted.length && i < bytes->length && wanted.data[i] == bytes->data[i])
		i++;
	if (i < wanted.length || i < bytes->length)
		fail_msg("%s/%s differs at byte %zu:\n  expected ...%.60s\n  got      ...%.60s", run,
		         name, i, gt_buf_text(&wanted) + (i > 20 ? i - 20 : 0),
		         gt_buf_text(bytes) + (i > 20 ? i - 20 : 0));
	gt_buf_free(&wanted);
	free(path);
	free(folder);
}

// The journal of a source: its lines numbered and signed; "# cut N" takes N bytes off the end.
static void make_journal(const char *run, struct gt_buf *out)
{
	struct gt_buf source = {0};
	char *folder = gt_path_join(golden, run);
	read_all(folder, "source.jsonl", &source);
	uint64_t seq = GT_EVENT_FIRST;
	char *rest = source.data, *text;
	while ((text = strsep(&rest, "\n")) && *text) {
		json_error_t why;
		if (strncmp(text, "# cut ", 6) == 0) {
			out->length -= (size_t)atoi(text + 6);
			out->data[out->length] = '\0';
			continue;
		}
		json_t *event = json_loads(text, JSON_REJECT_DUPLICATES, &why);
		if (!event)
			fail_msg("%s: %s", text, why.text);
		char *line = gt_event_line(event, seq++);
		gt_buf_puts(out, line);
		free(line);
		json_decref(event);
	}
	gt_buf_free(&source);
	free(folder);
}

static void check_report(const char *run, const char *name)
{
	struct gt_buf got = {0};
	read_all(scratch, name, &got);
	check_bytes(run, name, &got);
	gt_buf_free(&got);
}

static void check_run(const char *run)
{
	struct gt_result r;
	struct gt_err err = {0};
	struct gt_buf journal = {0}, summary = {0};
	make_journal(run, &journal);
	check_bytes(run, "events.jsonl", &journal);
	gt_buf_free(&journal);

	char *folder = gt_path_join(golden, run), *markdown = gt_path_join(scratch, "report.md");
	must(gt_result_load(folder, &r, &err), &err);
	must(gt_report_results(&r, scratch, &err), &err);
	must(gt_report_markdown(&r, markdown, &err), &err);
	gt_report_summary(&r, "test-run", true, 80, false, &summary);
	check_report(run, "results.json");
	check_report(run, "report.md");
	check_report(run, "report.json");
	check_bytes(run, "summary.txt", &summary);
	gt_result_free(&r);
	gt_buf_free(&summary);
	free(folder);
	free(markdown);
}

static void test_mixed(void **state)
{
	(void)state;
	check_run("mixed");
}

static void test_hostile(void **state)
{
	(void)state;
	check_run("hostile");
}

static void test_torn(void **state)
{
	(void)state;
	check_run("torn");
}

static void test_incomplete(void **state)
{
	(void)state;
	check_run("incomplete");
}

static void test_partial(void **state)
{
	(void)state;
	check_run("partial");
}

static void test_empty(void **state)
{
	(void)state;
	check_run("empty");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mixed),      cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_torn),       cmocka_unit_test(test_incomplete),
		cmocka_unit_test(test_partial),    cmocka_unit_test(test_empty),
	};
	return cmocka_run_group_tests_name("golden", tests, find_golden, remove_scratch);
}
