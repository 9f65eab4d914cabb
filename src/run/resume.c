#include "run/resume.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/quote.h"
#include "suite/suite.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gt_code visit(void *user, const json_t *event, struct gt_err *err)
{
	struct gt_resume *r = user;
	r->end.events++;
	r->end.t = gt_json_integer_or(event, "t", 0);
	// Also if what ended is being run again now.
	r->begun = r->begun || strcmp(gt_json_string_or(event, "event", ""), "stage-end") == 0;
	return gt_result_apply(&r->result, event, err);
}

gt_code gt_resume_load(const char *folder, struct gt_resume *out, struct gt_err *err)
{
	char *path = gt_path_join(folder, "events.jsonl");
	struct stat st;
	int64_t torn = -1;
	*out = (struct gt_resume){0};
	gt_code rc = GT_OK;
	if (lstat(path, &st) != 0) {
		rc = errno == ENOENT ? GT_OK : gt_fail_errno(err, "cannot look at '%s'", path);
	} else if (S_ISLNK(st.st_mode)) {
		rc = gt_fail(err, GT_BAD_DATA, "'%s' is a link: a run goes on in its own journal only", path);
	} else {
		rc = gt_event_read_file(path, visit, out, &torn, err);
		out->end.length = torn >= 0 ? torn : st.st_size;
	}
	if (rc)
		gt_resume_free(out);
	free(path);
	return rc;
}

void gt_resume_free(struct gt_resume *resume)
{
	gt_result_free(&resume->result);
	*resume = (struct gt_resume){0};
}

bool gt_resume_is_due(const struct gt_test_result *test, bool failed)
{
	return !*test->status || test->unbacked || (failed && gt_verdict_is_failure(test->verdict));
}

// --- is it the same run? ---

// A file is read anew when its test runs. One that is gone is as good a fact as any.
static void put_file(struct gt_buf *text, const char *path)
{
	struct stat st = {0};
	gt_buf_puts(text, path);
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		gt_buf_printf(text, " %lld %lld.%09ld", (long long)st.st_size,
		              (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	gt_buf_puts(text, "\n");
}

char *gt_resume_fingerprint(const struct gt_case *test)
{
	struct gt_buf text = {0};
	struct gt_names files = {0};
	json_t *json = gt_case_to_json(test);
	char *dump = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	if (!dump)
		abort();
	gt_buf_puts(&text, dump);
	gt_suite_files(test, &files);
	for (size_t i = 0; i < files.count; i++)
		put_file(&text, files.items[i]);
	char *print = gt_format("%016" PRIx64, gt_hash64(text.data, text.length));
	free(dump);
	json_decref(json);
	gt_names_free(&files);
	gt_buf_free(&text);
	return print;
}

// Has the file been written since the run began, as far as its time tells?
static bool is_newer(const char *path, const struct gt_result *result)
{
	struct timespec began;
	struct stat st;
	if (!gt_clock_parse_wall(gt_json_string_or(result->run, "wall", ""), &began) ||
	    stat(path, &st) != 0)
		return false;
	return st.st_mtim.tv_sec != began.tv_sec ? st.st_mtim.tv_sec > began.tv_sec
	                                         : st.st_mtim.tv_nsec > began.tv_nsec;
}

static const struct gt_case *find_case(const struct gt_cases *cases, const char *id)
{
	for (size_t i = 0; i < cases->count; i++)
		if (strcmp(cases->items[i].id, id) == 0)
			return &cases->items[i];
	return NULL;
}

#define ADVICE "say what the run was begun with, or begin anew in this or another run directory"

// Only their fingerprint is known of then, so which file it is can but be guessed.
static gt_code refuse_files(const struct gt_result *result, const struct gt_case *test,
                            struct gt_err *err)
{
	struct gt_names files = {0};
	size_t i = 0;
	gt_suite_files(test, &files);
	while (i < files.count && !is_newer(files.items[i], result))
		i++;
	gt_code rc;
	if (i < files.count)
		rc = gt_fail(err, GT_BAD_USAGE, "the files of test '%s' are not what they were, '%s' has been "
		             "changed since: begin the run anew", test->id, files.items[i]);
	else
		rc = gt_fail(err, GT_BAD_USAGE, "the files of test '%s' are not what they were (%s): begin the "
		             "run anew", test->id,
		             test->kind == GT_CASE_PYTHON ? "all Python files beside the class count"
		                                          : "its model, data sets and what lies beside it for it count");
	gt_names_free(&files);
	return rc;
}

static gt_code check_test(const struct gt_result *result, const struct gt_test_result *then,
                          const struct gt_case *now, const struct gt_expectations *expectations,
                          struct gt_err *err)
{
	char *print = gt_resume_fingerprint(now);
	bool same = strcmp(print, then->fingerprint) == 0;
	free(print);
	if (!same)
		return refuse_files(result, now, err);
	const struct gt_expectation *e =
		expectations ? gt_expect_find(expectations, now->id, now->name) : NULL;
	const char *expected = e ? e->status : GT_STATUS_PASS;
	if (strcmp(expected, then->expected) == 0)
		return GT_OK;
	if (expectations && is_newer(expectations->path, result)) // by --update-expect, or by hand
		return gt_fail(err, GT_BAD_USAGE,
		               "'%s' has been changed since the run was begun: test '%s' is expected to end as "
		               "%s now, where it was %s: begin anew in this or another run directory",
		               expectations->path, now->id, expected, then->expected);
	return gt_fail(err, GT_BAD_USAGE,
	               "test '%s' is expected to end as %s, where the run was begun with %s: " ADVICE,
	               now->id, expected, then->expected);
}

gt_code gt_resume_check_tests(const struct gt_result *result, const struct gt_cases *cases,
                              const struct gt_expectations *expectations, struct gt_err *err)
{
	for (size_t i = 0; i < result->test_count && i < cases->count; i++) {
		const struct gt_test_result *then = &result->tests[i];
		const struct gt_case *now = &cases->items[i];
		if (strcmp(then->id, now->id) == 0) {
			gt_code rc = check_test(result, then, now, expectations, err);
			if (rc)
				return rc;
		} else if (!gt_result_find(result, now->id)) {
			return gt_fail(err, GT_BAD_USAGE, "test '%s' was not part of the run: " ADVICE, now->id);
		} else if (!find_case(cases, then->id)) {
			return gt_fail(err, GT_BAD_USAGE, "test '%s' was part of the run and is not selected "
			               "now: " ADVICE, then->id);
		} else {
			return gt_fail(err, GT_BAD_USAGE, "the tests are those of the run, but in another order "
			               "from '%s' on: " ADVICE, now->id);
		}
	}
	if (result->test_count != cases->count)
		return gt_fail(err, GT_BAD_USAGE, "the run has %zu test%s and %zu %s selected now: " ADVICE,
		               result->test_count, result->test_count == 1 ? "" : "s", cases->count,
		               cases->count == 1 ? "is" : "are");
	return GT_OK;
}

// What must be the same in both. Of the other members, none has a say in how a test ends.
static const char *const basis[] = {"options", "stages", "limits", "tools"};

static gt_code refuse(const char *path, const json_t *then, const json_t *now, struct gt_err *err)
{
	char *was = gt_json_show(then), *is = gt_json_show(now);
	gt_code rc = gt_fail(err, GT_BAD_USAGE,
	                     "the run was begun with %s %s where this one says %s: " ADVICE, path, was, is);
	free(was);
	free(is);
	return rc;
}

// Descends to the member that differs: its name says more than the whole.
static gt_code check_member(const char *path, const json_t *then, const json_t *now,
                            struct gt_err *err)
{
	if (json_equal(then, now))
		return GT_OK;
	const char *key;
	json_t *value;
	gt_code rc = GT_OK;
	if (!json_is_object(then) || !json_is_object(now))
		return refuse(path, then, now, err);
	json_object_foreach((json_t *)(uintptr_t)now, key, value) {
		char *name = gt_format("%s.%s", path, key);
		if (!rc)
			rc = check_member(name, json_object_get(then, key), value, err);
		free(name);
	}
	return rc ? rc : refuse(path, then, now, err);
}

gt_code gt_resume_check_start(const struct gt_result *result, const json_t *start,
                              struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (size_t i = 0; !rc && i < GT_COUNTOF(basis); i++) {
		const json_t *then = json_object_get(result->run, basis[i]);
		const json_t *now = json_object_get(start, basis[i]);
		const char *kind;
		json_t *tool;
		if (strcmp(basis[i], "tools") != 0) {
			rc = check_member(basis[i], then, now, err);
			continue;
		}
		json_object_foreach((json_t *)(uintptr_t)now, kind, tool) {
			char *name = gt_format("tools.%s", kind);
			bool comparable = json_object_get(then, kind) || strcmp(kind, "gauntlet") == 0;
			if (!rc && comparable) // else no host of it could be started then
				rc = check_member(name, json_object_get(then, kind), tool, err);
			free(name);
		}
	}
	return rc;
}

char *gt_resume_command(const struct gt_result *result, const char *flag)
{
	struct gt_buf line = {0};
	size_t i;
	json_t *word;
	json_array_foreach(json_object_get(result->run, "argv"), i, word) {
		char *text = gt_json_bytes_of(word);
		bool more = text && strcmp(text, flag) != 0;
		gt_buf_puts(&line, i && more ? " " : "");
		if (more)
			gt_quote_word(&line, text);
		free(text);
		if (i == 1) // the name of the command: in front of all that may end the flags
			gt_buf_printf(&line, " %s", flag);
	}
	return gt_buf_take(&line);
}

json_t *gt_resume_event(const struct gt_result *result, bool failed, const json_t *argv, int jobs)
{
	char wall[GT_WALL_SIZE];
	gt_clock_wall(wall);
	json_t *again = json_array();
	for (size_t i = 0; i < result->test_count; i++)
		if (*result->tests[i].status && gt_resume_is_due(&result->tests[i], failed))
			json_array_append_new(again, gt_json_text(result->tests[i].id));
	return json_pack("{s:s,s:s,s:O,s:i,s:o}", "event", "run-resume", "wall", wall, "argv", argv,
	                 "jobs", jobs, "again", again);
}
