// Makes the result of a run out of a table of tests, by way of the fold. For tests of the reports.
#ifndef GT_TESTS_RUN_BUILDER_H
#define GT_TESTS_RUN_BUILDER_H

#include "core/result.h"

#include <string.h>

// One test: status "" is a test without an end. `seconds` is spent in the stage it stopped in, or
// in the comparison.
struct built_test {
	const char *id, *expect, *status, *why, *message;
	double seconds;
	bool vacuous;
	const char *reason;
};

// Called after each event that was applied.
typedef void built_event(void *user, const struct gt_result *r, const json_t *event);

struct builder {
	struct gt_result *result;
	built_event *after; // may be NULL
	void *user;
	long long t;
};

static void build_apply(struct builder *b, json_t *event)
{
	struct gt_err err = {0};
	assert_non_null(event);
	gt_json_set(event, "t", json_integer(b->t));
	b->t += 1000000;
	if (gt_result_apply(b->result, event, &err))
		fail_msg("%s", err.text);
	if (b->after)
		b->after(b->user, b->result, event);
	json_decref(event);
}

static const char *built_stage(const char *status)
{
	bool compared = strcmp(status, "Numerics") == 0 || strcmp(status, "results-summary") == 0 ||
	                strcmp(status, "PASS") == 0;
	return compared ? "comparison" : status;
}

static void build_test(struct builder *b, const struct built_test *t)
{
	const char *why = t->why ? t->why : "", *message = t->message ? t->message : "";
	bool pass = strcmp(t->status, "PASS") == 0;
	if (!*t->status)
		return;
	const char *stage = built_stage(t->status);
	build_apply(b, json_pack("{s:s,s:s,s:s,s:i}", "event", "stage-start", "test", t->id, "stage",
	                         stage, "attempt", 1));
	build_apply(b, json_pack("{s:s,s:s,s:s,s:i,s:b,s:s,s:f,s:{s:b}}", "event", "stage-end", "test",
	                         t->id, "stage", stage, "attempt", 1, "ok", pass, "why", why,
	                         "seconds", t->seconds, "detail", "vacuous", t->vacuous));
	build_apply(b, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "event", "test-end", "test", t->id,
	                         "status", t->status, "why", why, "stage", pass ? "" : stage,
	                         "message", message));
}

static void build_begin(struct builder *b, const char *options, const struct built_test *tests,
                        size_t count)
{
	json_t *json = json_loads(options, 0, NULL);
	build_apply(b, json_pack("{s:s,s:i,s:I,s:o,s:i,s:[s,s]}", "event", "run-start", "format", 1,
	                         "tests", (json_int_t)count, "options", json, "jobs", 2, "stages",
	                         "setup", "comparison"));
	for (size_t i = 0; i < count; i++)
		build_apply(b, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "event", "test", "test",
		                         tests[i].id, "name", tests[i].id, "suite", "s", "folder", "f",
		                         "expect", tests[i].expect ? tests[i].expect : "PASS",
		                         "reason", tests[i].reason ? tests[i].reason : ""));
}

// The whole run; it ends complete if every test has a status. 48.2 s long.
static inline void build_run(struct gt_result *r, const struct built_test *tests, size_t count)
{
	bool complete = true;
	struct builder b = {.result = r};
	*r = (struct gt_result){0};
	build_begin(&b, "{\"mode\":\"onnx-iree\"}", tests, count);
	for (size_t i = 0; i < count; i++) {
		build_test(&b, &tests[i]);
		complete = complete && *tests[i].status;
	}
	b.t = 48200000000;
	build_apply(&b, json_pack("{s:s,s:b,s:s}", "event", "run-end", "complete", complete, "reason",
	                          complete ? "" : "interrupted"));
}

#endif // GT_TESTS_RUN_BUILDER_H
