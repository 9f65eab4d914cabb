#include "core/result.h"

#include "base/file.h"
#include "core/event.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What the fold must remember of a test and no report needs.
struct progress {
	bool running[GT_STAGE_COUNT];
	int64_t attempt[GT_STAGE_COUNT]; // of its last start; 0 before the first
	bool told[GT_STAGE_COUNT]; // an attempt has ended that tells of the test, with `why`
	char why[GT_STAGE_COUNT][GT_MAX_WHY + 1]; // of the last such one
	char *before; // status and why of a test that is run again; NULL: it is not
};

struct fold {
	json_t *positions; // id -> place in `tests`
	struct progress *progress; // beside `tests`
	size_t capacity;   // of both
	size_t finished;   // tests with a terminal state
	bool staged;       // a stage has started: no further tests may come
};

// A test that ran some stages only has not yet come to the stage it is expected to stop in.
static enum gt_verdict verdict_of_test(const struct gt_test_result *t)
{
	enum gt_verdict v = gt_verdict_of(t->expected, t->status, t->why);
	if (v == GT_VERDICT_XPASS && strcmp(t->why, GT_WHY_PARTIAL) == 0) {
		enum gt_stage_id stage = gt_status_stage(t->expected, strcspn(t->expected, ":"));
		if (stage != GT_STAGE_COUNT && !t->stages[stage].ran)
			return GT_VERDICT_PASS;
	}
	return v;
}

static void replace(char **text, const char *with)
{
	free(*text);
	*text = gt_strdup(with);
}

static gt_code get_bool(const json_t *event, const char *key, bool *out, struct gt_err *err)
{
	const json_t *value = json_object_get(event, key);
	*out = json_is_true(value);
	if (!json_is_boolean(value))
		return gt_fail(err, GT_BAD_DATA, "member \"%s\" is neither true nor false", key);
	return GT_OK;
}

// The test and the stage that an event names.
static gt_code get_test(const struct gt_result *r, const json_t *event, size_t *at,
                        struct gt_err *err)
{
	const char *id;
	gt_code rc = gt_json_string(event, "test", &id, err);
	if (rc)
		return rc;
	const struct gt_test_result *t = gt_result_find(r, id);
	if (!t)
		return gt_fail(err, GT_BAD_DATA, "there is no test '%s'", id);
	if (*t->status)
		return gt_fail(err, GT_BAD_DATA, "test '%s' has ended already", id);
	*at = (size_t)(t - r->tests);
	return GT_OK;
}

static gt_code get_stage(const json_t *event, enum gt_stage_id *stage, struct gt_err *err)
{
	const char *name;
	gt_code rc = gt_json_string(event, "stage", &name, err);
	if (rc)
		return rc;
	*stage = gt_stage_parse(name);
	if (*stage == GT_STAGE_COUNT)
		return gt_fail(err, GT_BAD_DATA, "there is no stage '%s'", name);
	return GT_OK;
}

static gt_code apply_run_start(struct gt_result *r, const json_t *event, struct gt_err *err)
{
	int64_t format, tests;
	if (r->run)
		return gt_fail(err, GT_BAD_DATA, "the run has started already");
	gt_code rc = gt_json_integer(event, "format", &format, err);
	if (!rc && format != GT_FORMAT_VERSION)
		rc = gt_fail(err, GT_BAD_DATA,
		             "the journal has format %lld and this program reads format %d only",
		             (long long)format, GT_FORMAT_VERSION);
	if (!rc)
		rc = gt_json_integer(event, "tests", &tests, err);
	if (!rc) {
		r->run = json_deep_copy(event);
		json_object_del(r->run, "event");
	}
	return rc;
}

// Every test that run-start promised must have been named.
static gt_code check_count(const struct gt_result *r, struct gt_err *err)
{
	int64_t tests = gt_json_integer_or(r->run, "tests", -1);
	if (tests != (int64_t)r->test_count)
		return gt_fail(err, GT_BAD_DATA, "the run has %lld tests, but %zu are named",
		               (long long)tests, r->test_count);
	return GT_OK;
}

static struct gt_test_result *add_test(struct gt_result *r)
{
	struct fold *f = r->index;
	if (r->test_count == f->capacity) {
		f->capacity = f->capacity ? f->capacity * 2 : 64;
		r->tests = gt_realloc(r->tests, f->capacity, sizeof *r->tests);
		f->progress = gt_realloc(f->progress, f->capacity, sizeof *f->progress);
	}
	f->progress[r->test_count] = (struct progress){0};
	struct gt_test_result *t = &r->tests[r->test_count++];
	*t = (struct gt_test_result){.verdict = GT_VERDICT_NONE};
	return t;
}

static gt_code apply_test(struct gt_result *r, const json_t *event, struct gt_err *err)
{
	struct fold *f = r->index;
	const char *id, *suite, *folder, *expect, *reason;
	gt_code rc = gt_json_string(event, "test", &id, err);
	if (!rc)
		rc = gt_json_string(event, "suite", &suite, err);
	if (!rc)
		rc = gt_json_string(event, "folder", &folder, err);
	if (!rc)
		rc = gt_json_string(event, "expect", &expect, err);
	if (!rc)
		rc = gt_json_string(event, "reason", &reason, err);
	if (rc)
		return rc;
	if (!*id)
		return gt_fail(err, GT_BAD_DATA, "a test has no name");
	if (gt_result_find(r, id))
		return gt_fail(err, GT_BAD_DATA, "test '%s' is named twice", id);
	if (!*folder || *folder == '.' || strchr(folder, '/'))
		return gt_fail(err, GT_BAD_DATA, "test '%s' has a folder '%s' that is no name", id, folder);
	if (f->staged)
		return gt_fail(err, GT_BAD_DATA, "test '%s' comes after the first stage", id);
	if (!gt_is_expectation(expect))
		return gt_fail(err, GT_BAD_DATA, "test '%s' expects the unknown status '%s'", id,
		               expect);
	gt_json_set(f->positions, id, json_integer((json_int_t)r->test_count));
	struct gt_test_result *t = add_test(r);
	t->id = gt_strdup(id);
	t->suite = gt_strdup(suite);
	t->folder = gt_strdup(folder);
	t->expected = gt_strdup(expect);
	t->reason = gt_strdup(reason);
	t->fingerprint = gt_strdup(gt_json_string_or(event, "fingerprint", ""));
	t->status = gt_strdup("");
	t->why = gt_strdup("");
	t->stage = gt_strdup("");
	t->message = gt_strdup("");
	t->leaked = gt_strdup("");
	r->verdicts[GT_VERDICT_NONE]++;
	return GT_OK;
}

static gt_code apply_stage_start(struct gt_result *r, const json_t *event, struct gt_err *err)
{
	struct fold *f = r->index;
	size_t at;
	enum gt_stage_id stage;
	int64_t attempt;
	gt_code rc = f->staged ? GT_OK : check_count(r, err);
	if (!rc)
		rc = get_test(r, event, &at, err);
	if (!rc)
		rc = get_stage(event, &stage, err);
	if (!rc)
		rc = gt_json_integer(event, "attempt", &attempt, err);
	if (rc)
		return rc;
	const char *id = r->tests[at].id, *name = gt_stage(stage)->name;
	struct progress *p = &f->progress[at];
	if (p->running[stage])
		return gt_fail(err, GT_BAD_DATA, "%s of '%s' starts while it runs", name, id);
	if (attempt <= p->attempt[stage])
		return gt_fail(err, GT_BAD_DATA, "%s of '%s' starts as attempt %lld after attempt %lld",
		               name, id, (long long)attempt, (long long)p->attempt[stage]);
	p->running[stage] = true;
	p->attempt[stage] = attempt;
	f->staged = true;
	return GT_OK;
}

static void set_stage(struct gt_test_result *t, enum gt_stage_id stage, bool ok, double seconds)
{
	t->stages[stage] = (struct gt_stage_result){.ran = true, .ok = ok, .seconds = seconds};
	t->seconds = 0; // summed anew, in one order, so that the sum is the same however they came
	for (int i = 0; i < GT_STAGE_COUNT; i++)
		t->seconds += t->stages[i].seconds;
}

// A stage that ends differently when it is tried again is flaky, whatever the surroundings did between.
static void note_change(struct progress *p, enum gt_stage_id stage, const char *why, bool *flaky)
{
	if (gt_why_is_surroundings(why))
		return;
	if (p->told[stage] && strcmp(p->why[stage], why) != 0)
		*flaky = true;
	p->told[stage] = true;
	snprintf(p->why[stage], sizeof p->why[stage], "%s", why);
}

// What a stage left running, also in an attempt that was made again.
static void note_leak(struct gt_test_result *t, const json_t *event)
{
	int64_t count = gt_json_integer_or(event, "leftovers", 0);
	const char *names = gt_json_string_or(event, "leaked", "");
	if (count <= 0)
		return;
	t->leftovers += (size_t)count;
	if (!*names || strstr(t->leaked, names))
		return;
	char *all = gt_format("%s%s%s", t->leaked, *t->leaked ? ", " : "", names);
	free(t->leaked);
	t->leaked = all;
}

static gt_code apply_stage_end(struct gt_result *r, const json_t *event, struct gt_err *err)
{
	struct fold *f = r->index;
	size_t at;
	enum gt_stage_id stage;
	int64_t attempt;
	bool ok;
	const char *why;
	gt_code rc = get_test(r, event, &at, err);
	if (!rc)
		rc = get_stage(event, &stage, err);
	if (!rc)
		rc = gt_json_integer(event, "attempt", &attempt, err);
	if (!rc)
		rc = get_bool(event, "ok", &ok, err);
	if (!rc)
		rc = gt_json_string(event, "why", &why, err);
	if (rc)
		return rc;
	const char *id = r->tests[at].id, *name = gt_stage(stage)->name;
	struct progress *p = &f->progress[at];
	double seconds = gt_json_number_or(event, "seconds", -1);
	if (!p->running[stage] || attempt != p->attempt[stage])
		return gt_fail(err, GT_BAD_DATA, "%s of '%s' ends as attempt %lld, which does not run",
		               name, id, (long long)attempt);
	if (!gt_is_why(why))
		return gt_fail(err, GT_BAD_DATA, "%s of '%s' ends with why '%s'", name, id, why);
	if (ok != !*why)
		return gt_fail(err, GT_BAD_DATA, "%s of '%s' %s", name, id,
		               ok ? "went well, with a reason why not" : "failed without a reason");
	if (!(seconds >= 0))
		return gt_fail(err, GT_BAD_DATA, "%s of '%s' took no time that could be", name, id);
	p->running[stage] = false;
	note_change(p, stage, why, &r->tests[at].flaky);
	note_leak(&r->tests[at], event);
	set_stage(&r->tests[at], stage, ok, seconds);
	if (stage == GT_COMPARISON)
		r->tests[at].vacuous =
			gt_json_bool_or(json_object_get(event, "detail"), "vacuous", false);
	return GT_OK;
}

// Does the terminal state agree with what the stages said?
static gt_code check_end(const struct gt_test_result *t, const struct progress *p,
                         const struct gt_test_result *end, struct gt_err *err)
{
	bool passed = strcmp(end->status, GT_STATUS_PASS) == 0;
	enum gt_stage_id stage = gt_status_stage(end->status, strlen(end->status));
	if (!passed && stage == GT_STAGE_COUNT)
		return gt_fail(err, GT_BAD_DATA, "test '%s' ends with the unknown status '%s'", t->id,
		               end->status);
	if (strcmp(end->stage, passed ? "" : gt_stage(stage)->name) != 0)
		return gt_fail(err, GT_BAD_DATA, "test '%s' ends with status %s in stage '%s'", t->id,
		               end->status, end->stage);
	bool no_reason = !*end->why || strcmp(end->why, GT_WHY_PARTIAL) == 0;
	if (passed != no_reason || !gt_is_why(end->why))
		return gt_fail(err, GT_BAD_DATA, "test '%s' ends with status %s and why '%s'", t->id,
		               end->status, end->why);
	for (int i = 0; i < GT_STAGE_COUNT; i++) {
		const char *name = gt_stage((enum gt_stage_id)i)->name;
		if (p->running[i])
			return gt_fail(err, GT_BAD_DATA, "test '%s' ends while %s runs", t->id, name);
		if (passed && t->stages[i].ran && !t->stages[i].ok)
			return gt_fail(err, GT_BAD_DATA, "test '%s' passes although %s failed", t->id,
			               name);
	}
	bool compared = t->stages[GT_COMPARISON].ran;
	if (passed && !*end->why && !compared)
		return gt_fail(err, GT_BAD_DATA, "test '%s' passes without a comparison", t->id);
	if (strcmp(end->status, GT_STATUS_NUMERICS) == 0)
		return compared ? GT_OK
		                : gt_fail(err, GT_BAD_DATA, "test '%s' differs without a comparison",
		                          t->id);
	if (!passed && t->stages[stage].ran && t->stages[stage].ok)
		return gt_fail(err, GT_BAD_DATA, "test '%s' stops in %s, which went well", t->id,
		               end->stage);
	return GT_OK;
}

// How a test ended, in one text that can be compared with another time's.
static char *ending_of(const char *status, const char *why)
{
	return gt_format("%s %s", status, why);
}

static gt_code apply_test_end(struct gt_result *r, const json_t *event, struct gt_err *err)
{
	struct fold *f = r->index;
	size_t at;
	const char *status, *why, *stage, *message;
	gt_code rc = get_test(r, event, &at, err);
	if (!rc)
		rc = gt_json_string(event, "status", &status, err);
	if (!rc)
		rc = gt_json_string(event, "why", &why, err);
	if (!rc)
		rc = gt_json_string(event, "stage", &stage, err);
	if (!rc)
		rc = gt_json_string(event, "message", &message, err);
	if (rc)
		return rc;
	struct gt_test_result *t = &r->tests[at];
	struct gt_test_result end = {
		.status = (char *)status, .why = (char *)why, .stage = (char *)stage};
	rc = check_end(t, &f->progress[at], &end, err);
	if (rc)
		return rc;
	replace(&t->status, status);
	replace(&t->why, why);
	replace(&t->stage, stage);
	replace(&t->message, message);
	char *before = f->progress[at].before, *now = ending_of(status, why);
	t->flaky = t->flaky || (before && !gt_why_is_surroundings(why) && strcmp(before, now) != 0);
	free(now);
	t->verdict = verdict_of_test(t);
	r->verdicts[GT_VERDICT_NONE]--;
	r->verdicts[t->verdict]++;
	f->finished++;
	return GT_OK;
}

// Forget what is known of a test but for what it is, that it was flaky, and how it ended so far: what
// ends differently now is flaky too.
static void reset_test(struct gt_result *r, size_t at, bool again)
{
	struct fold *f = r->index;
	struct gt_test_result *t = &r->tests[at];
	struct progress *p = &f->progress[at];
	char *before = p->before;
	if (again && !gt_why_is_surroundings(t->why)) {
		free(before);
		before = ending_of(t->status, t->why);
	}
	p->before = before;
	memset(p->running, 0, sizeof p->running);
	memset(p->attempt, 0, sizeof p->attempt);
	r->verdicts[t->verdict]--;
	r->verdicts[GT_VERDICT_NONE]++;
	f->finished -= *t->status != '\0';
	replace(&t->status, "");
	replace(&t->why, "");
	replace(&t->stage, "");
	replace(&t->message, "");
	replace(&t->leaked, "");
	t->leftovers = 0;
	t->vacuous = t->unbacked = false;
	t->verdict = GT_VERDICT_NONE;
	t->seconds = 0;
	memset(t->stages, 0, sizeof t->stages);
}

static gt_code check_resume(const struct gt_result *r, const json_t *event, const char **wall,
                            struct gt_err *err)
{
	const json_t *again = json_object_get(event, "again");
	size_t i;
	json_t *id;
	gt_code rc = check_count(r, err);
	if (!rc)
		rc = gt_json_string(event, "wall", wall, err);
	if (!rc && !json_is_array(again))
		rc = gt_fail(err, GT_BAD_DATA, "member \"again\" is no list");
	json_array_foreach(again, i, id) {
		const char *name = json_is_string(id) ? json_string_value(id) : "?";
		const struct gt_test_result *t = gt_result_find(r, name);
		if (!rc && (!t || !*t->status))
			rc = gt_fail(err, GT_BAD_DATA, "there is no test '%s' that has ended", name);
	}
	return rc;
}

static gt_code apply_run_resume(struct gt_result *r, const json_t *event, struct gt_err *err)
{
	const char *wall;
	gt_code rc = check_resume(r, event, &wall, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < r->test_count; i++) // those that were under way
		if (!*r->tests[i].status)
			reset_test(r, i, false);
	size_t i;
	json_t *id, *resumed = json_object_get(r->run, "resumed");
	json_array_foreach(json_object_get(event, "again"), i, id) {
		const struct gt_test_result *t = gt_result_find(r, json_string_value(id));
		if (*t->status) // it may be named twice
			reset_test(r, (size_t)(t - r->tests), true);
	}
	if (!resumed) {
		resumed = json_array();
		gt_json_set(r->run, "resumed", resumed);
	}
	json_array_append_new(resumed, gt_json_text(wall));
	free(r->reason);
	r->reason = NULL;
	r->ended = r->complete = false;
	return GT_OK;
}

// What happens to a host happens again: the same is kept once, with its first sentence, and counted.
static gt_code apply_note(struct gt_result *r, const json_t *event, struct gt_err *err)
{
	static const char *const members[] = {"host", "what", "why", "message"};
	const char *texts[GT_COUNTOF(members)];
	for (size_t i = 0; i < GT_COUNTOF(members); i++) {
		gt_code rc = gt_json_string(event, members[i], &texts[i], err);
		if (rc)
			return rc;
	}
	if (!gt_is_why(texts[2]))
		return gt_fail(err, GT_BAD_DATA, "why is '%s'", texts[2]);
	struct gt_note *n = r->notes;
	while (n < r->notes + r->note_count &&
	       (strcmp(n->host, texts[0]) != 0 || strcmp(n->what, texts[1]) != 0 ||
	        strcmp(n->why, texts[2]) != 0))
		n++;
	if (n == r->notes + r->note_count) {
		r->notes = gt_realloc(r->notes, r->note_count + 1, sizeof *r->notes);
		n = &r->notes[r->note_count++];
		*n = (struct gt_note){.host = gt_strdup(texts[0]), .what = gt_strdup(texts[1]),
		                      .why = gt_strdup(texts[2]), .message = gt_strdup(texts[3])};
	}
	n->count++;
	return GT_OK;
}

static gt_code apply_run_end(struct gt_result *r, const json_t *event, struct gt_err *err)
{
	const struct fold *f = r->index;
	bool complete;
	gt_code rc = get_bool(event, "complete", &complete, err);
	if (!rc && complete)
		rc = check_count(r, err);
	if (rc)
		return rc;
	const char *reason = gt_json_string_or(event, "reason", "");
	r->reason = *reason ? gt_strdup(reason) : NULL;
	r->ended = true;
	r->complete = complete && f->finished == r->test_count;
	return GT_OK;
}

static const struct {
	const char *name;
	gt_code (*apply)(struct gt_result *r, const json_t *event, struct gt_err *err);
} kinds[] = {
	{"stage-end", apply_stage_end}, {"stage-start", apply_stage_start},
	{"test-end", apply_test_end},   {"test", apply_test},
	{"run-start", apply_run_start}, {"run-end", apply_run_end},
	{"run-resume", apply_run_resume}, {"note", apply_note},
};

gt_code gt_result_apply(struct gt_result *r, const json_t *event, struct gt_err *err)
{
	const char *name;
	int64_t t;
	gt_code rc = gt_json_string(event, "event", &name, err);
	if (!rc)
		rc = gt_json_integer(event, "t", &t, err);
	if (rc)
		return rc;
	size_t i = 0;
	while (i < GT_COUNTOF(kinds) && strcmp(kinds[i].name, name) != 0)
		i++;
	if (i == GT_COUNTOF(kinds))
		return gt_fail(err, GT_BAD_DATA, "there is no event '%s'", name);
	if (r->ended && kinds[i].apply != apply_run_resume)
		return gt_fail(err, GT_BAD_DATA, "%s after the end of the run", name);
	if (!r->run && kinds[i].apply != apply_run_start)
		return gt_fail(err, GT_BAD_DATA, "%s before the start of the run", name);
	if (t < 0)
		return gt_fail(err, GT_BAD_DATA, "%s before time began", name);
	if (!r->index) {
		struct fold *f = gt_zalloc(1, sizeof *f);
		f->positions = json_object();
		r->index = f;
	}
	rc = kinds[i].apply(r, event, err);
	if (rc) {
		gt_err_context(err, "%s", name);
		return rc;
	}
	r->seconds = fmax(r->seconds, (double)t / 1e9);
	return GT_OK;
}

struct gt_test_result *gt_result_find(const struct gt_result *r, const char *id)
{
	const struct fold *f = r->index;
	const json_t *at = f ? json_object_get(f->positions, id) : NULL;
	return at ? &r->tests[json_integer_value(at)] : NULL;
}

static gt_code apply_visit(void *user, const json_t *event, struct gt_err *err)
{
	return gt_result_apply(user, event, err);
}

gt_code gt_result_load(const char *folder, struct gt_result *out, struct gt_err *err)
{
	char *path = gt_path_join(folder, "events.jsonl");
	int64_t torn;
	*out = (struct gt_result){0};
	gt_code rc = gt_event_read_file(path, apply_visit, out, &torn, err);
	if (rc)
		gt_result_free(out);
	free(path);
	return rc;
}

size_t gt_result_selected(const struct gt_result *r)
{
	int64_t tests = gt_json_integer_or(r->run, "tests", 0);
	return tests > (int64_t)r->test_count ? (size_t)tests : r->test_count;
}

size_t gt_result_failures(const struct gt_result *r)
{
	return r->verdicts[GT_VERDICT_FAIL] + r->verdicts[GT_VERDICT_XPASS];
}

void gt_result_free(struct gt_result *r)
{
	for (size_t i = 0; i < r->test_count; i++) {
		struct gt_test_result *t = &r->tests[i];
		char *texts[] = {t->id,     t->suite,  t->folder, t->expected, t->reason,
		                 t->status, t->why,    t->stage,  t->message, t->fingerprint,
		                 t->leaked};
		for (size_t k = 0; k < GT_COUNTOF(texts); k++)
			free(texts[k]);
	}
	for (size_t i = 0; i < r->note_count; i++) {
		char *texts[] = {r->notes[i].host, r->notes[i].what, r->notes[i].why, r->notes[i].message};
		for (size_t k = 0; k < GT_COUNTOF(texts); k++)
			free(texts[k]);
	}
	free(r->notes);
	free(r->tests);
	free(r->reason);
	json_decref(r->run);
	struct fold *f = r->index;
	for (size_t i = 0; f && i < r->test_count; i++)
		free(f->progress[i].before);
	if (f) {
		json_decref(f->positions);
		free(f->progress);
		free(f);
	}
	*r = (struct gt_result){0};
}
