// results.json: a result as people and programs read it.
#include "core/result.h"

#include "core/event.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Times are rounded to microseconds; more digits would only show how binary fractions end.
#define REAL_DIGITS 15

// Microseconds are enough, and make numbers that people can read.
static json_t *seconds_json(double seconds)
{
	return gt_json_real(round(seconds * 1e6) / 1e6);
}

static json_t *test_json(const struct gt_test_result *t)
{
	json_t *stages = json_object();
	for (int i = 0; i < GT_STAGE_COUNT; i++) {
		if (!t->stages[i].ran)
			continue;
		json_t *stage = json_object();
		gt_json_set(stage, "ok", json_boolean(t->stages[i].ok));
		gt_json_set(stage, "seconds", seconds_json(t->stages[i].seconds));
		gt_json_set(stages, gt_stage((enum gt_stage_id)i)->name, stage);
	}
	json_t *test = json_object();
	gt_json_set(test, "test", gt_json_text(t->id));
	gt_json_set(test, "suite", gt_json_text(t->suite));
	gt_json_set(test, "folder", gt_json_text(t->folder));
	gt_json_set(test, "status", gt_json_text(t->status));
	gt_json_set(test, "why", gt_json_text(t->why));
	gt_json_set(test, "stage", gt_json_text(t->stage));
	gt_json_set(test, "message", gt_json_text(t->message));
	gt_json_set(test, "verdict", gt_json_text(gt_verdict_name(t->verdict)));
	gt_json_set(test, "expected", gt_json_text(t->expected));
	gt_json_set(test, "reason", gt_json_text(t->reason));
	gt_json_set(test, "vacuous", json_boolean(t->vacuous));
	gt_json_set(test, "flaky", json_boolean(t->flaky));
	gt_json_set(test, "leftovers", json_integer((json_int_t)t->leftovers));
	gt_json_set(test, "leaked", gt_json_text(t->leaked));
	gt_json_set(test, "seconds", seconds_json(t->seconds));
	gt_json_set(test, "stages", stages);
	return test;
}

static void count_status(json_t *counts, const struct gt_result *r, const char *status)
{
	json_int_t n = 0;
	for (size_t i = 0; i < r->test_count; i++)
		n += strcmp(r->tests[i].status, status) == 0;
	gt_json_set(counts, status, json_integer(n));
}

static json_t *counts_json(const struct gt_result *r)
{
	static const enum gt_verdict order[] = {GT_VERDICT_PASS, GT_VERDICT_XFAIL, GT_VERDICT_XPASS,
	                                        GT_VERDICT_FAIL, GT_VERDICT_NONE};
	json_t *verdicts = json_object(), *statuses = json_object(), *counts = json_object();
	for (size_t i = 0; i < GT_COUNTOF(order); i++)
		gt_json_set(verdicts, gt_verdict_name(order[i]),
		            json_integer((json_int_t)r->verdicts[order[i]]));
	for (int i = 0; i < GT_STAGE_COUNT; i++)
		count_status(statuses, r, gt_stage((enum gt_stage_id)i)->failed);
	count_status(statuses, r, GT_STATUS_NUMERICS);
	count_status(statuses, r, GT_STATUS_PASS);
	gt_json_set(counts, "by_verdict", verdicts);
	gt_json_set(counts, "by_status", statuses);
	return counts;
}

static json_t *notes_json(const struct gt_result *r)
{
	json_t *notes = json_array();
	for (size_t i = 0; i < r->note_count; i++) {
		const struct gt_note *n = &r->notes[i];
		json_t *note = json_object();
		gt_json_set(note, "host", gt_json_text(n->host));
		gt_json_set(note, "what", gt_json_text(n->what));
		gt_json_set(note, "why", gt_json_text(n->why));
		gt_json_set(note, "message", gt_json_text(n->message));
		gt_json_set(note, "count", json_integer((json_int_t)n->count));
		json_array_append_new(notes, note);
	}
	return notes;
}

// Append a new object as text, every line moved right by `indent`, without its closing brace. Newlines
// are between members only: within a string they are escaped.
static void put_open(struct gt_buf *out, json_t *object, const char *indent)
{
	char *text = json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(REAL_DIGITS));
	json_decref(object);
	char *end = text ? strrchr(text, '\n') : NULL;
	if (!end)
		abort(); // what is in a json_t can be written, and these objects are never empty
	*end = '\0';
	for (char *line = text, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		gt_buf_puts(out, indent);
		gt_buf_puts(out, line);
		gt_buf_puts(out, next ? "\n" : "");
	}
	free(text);
}

// A tree of all tests would take five times the room of its text: they are written one by one.
void gt_result_write(const struct gt_result *r, struct gt_buf *out)
{
	json_t *all = json_object();
	gt_json_set(all, "format", json_integer(GT_FORMAT_VERSION));
	gt_json_set(all, "run", r->run ? json_deep_copy(r->run) : json_null());
	gt_json_set(all, "complete", json_boolean(r->complete));
	gt_json_set(all, "seconds", seconds_json(r->seconds));
	gt_json_set(all, "counts", counts_json(r));
	gt_json_set(all, "notes", notes_json(r));
	put_open(out, all, "");
	gt_buf_puts(out, ",\n  \"tests\": [");
	for (size_t i = 0; i < r->test_count; i++) {
		gt_buf_puts(out, i ? ",\n" : "\n");
		put_open(out, test_json(&r->tests[i]), "    ");
		gt_buf_puts(out, "\n    }");
	}
	gt_buf_puts(out, r->test_count ? "\n  ]\n}\n" : "]\n}\n");
}
