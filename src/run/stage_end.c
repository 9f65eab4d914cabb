#include "run/stage_end.h"

#include "run/record.h"
#include "run/stagelog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// No test is to blame for a disk that is full or broken: such a failure ends the run.
static gt_code check_disk(const struct gt_test *t, const struct gt_ending *e)
{
	struct gt_runner *r = t->runner;
	const char *code = gt_json_string_or(e->reply, "code", "");
	if (strcmp(code, gt_code_name(GT_DISK)) == 0)
		return gt_fail(r->err, GT_DISK, "%s of '%s': %s", gt_stage(t->stage)->name, t->test->id,
		               e->message);
	return gt_rundir_check_disk(r->rundir, r->err);
}

// The test is to blame for what became of its folder, not the job, whose reply names files there, nor
// the disk.
static void blame_folder(struct gt_ending *e, const char *sentence)
{
	bool said = !e->ok && *e->message;
	char *message = gt_format("%s%s%s", sentence, said ? "; " : "", said ? e->message : "");
	free(e->message);
	e->message = message;
	e->ok = e->host_gone = false;
	snprintf(e->why, sizeof e->why, "error");
	json_decref(e->reply);
	e->reply = NULL;
}

// A test whose folder is gone when a stage ends, or is elsewhere, has failed there. It gets a new one, for
// its log and its records.
static gt_code keep_folder(struct gt_test *t, struct gt_ending *e)
{
	struct gt_err err = {0};
	bool lost;
	gt_code rc = gt_testdir_keep(&t->dir, &lost, &err);
	if (rc && rc != GT_BAD_DATA)
		return gt_fail(t->runner->err, rc, "%s", err.text);
	if (rc) {
		blame_folder(e, err.text);
		t->evicted = true;
	}
	if (lost) { // what was in it has gone with it
		gt_record_lose_files(t->records);
		t->unreadable = false;
	}
	return GT_OK;
}

static json_t *end_event(const struct gt_test *t, const struct gt_ending *e)
{
	json_t *event = json_pack("{s:s,s:s,s:s}", "event", "stage-end", "test", t->test->id, "stage",
	                          gt_stage(t->stage)->name);
	gt_record_facts(event, t->attempt, e);
	return event;
}

// What stages.json keeps of a stage, and later stages go by.
static void keep_record(struct gt_test *t, json_t *event, json_t *identity)
{
	const struct gt_plan *plan = &t->runner->config->plan;
	if (t->refused && json_object_get(gt_test_stages(t), gt_stage(t->stage)->name))
		return; // what it left before is as good as it was
	json_t *inputs = t->inputs ? t->inputs : json_array();
	json_t *basis = gt_plan_basis(plan, t->test, t->stage, gt_test_stages(t));
	json_t *record = gt_record_make(event, inputs, basis, identity);
	if (gt_plan_loads(plan, t->stage))
		gt_record_end_loading(gt_test_stages(t), gt_stage(t->stage)->name, record);
	t->inputs = NULL;
	gt_json_set(gt_test_stages(t), gt_stage(t->stage)->name, record);
}

void gt_stage_end(struct gt_test *t, struct gt_ending *e, const char *output, json_t *identity)
{
	struct gt_runner *r = t->runner;
	t->begun = false;
	// An interrupted stage has not ended: a later run does it again.
	if (r->fatal || strcmp(e->why, "interrupted") == 0) {
		gt_test_leave(t);
		return;
	}
	gt_code rc = keep_folder(t, e);
	if (!rc && !e->ok) {
		gt_stagelog_quote(e, output);
		rc = check_disk(t, e);
	}
	if (!rc && !t->dir.unusable)
		rc = gt_stagelog_write(t->dir.path, t->test->id, t->stage, e, output, r->err);
	if (rc) {
		gt_runner_fail(r, rc);
		gt_test_leave(t);
		return;
	}
	json_t *event = end_event(t, e);
	keep_record(t, event, identity);
	gt_runner_emit(r, event);
	if (r->fatal)
		gt_test_leave(t);
	else
		gt_test_after_stage(t, e);
}
