#include "run/test.h"

#include "run/alone.h"
#include "run/attempt.h"
#include "run/record.h"

#include <stdlib.h>

json_t *gt_test_stages(const struct gt_test *t)
{
	return json_object_get(t->records, "stages");
}

static void on_left(struct gt_job *job, struct gt_ending *ending)
{
	struct gt_test *t = job->user;
	t->runner->running_jobs--;
	t->instance = NULL;
	gt_ending_free(ending);
	gt_test_leave(t);
}

void gt_test_leave(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	gt_alone_give_back(t);
	gt_attempt_drop_host(t);
	t->waits_for = NULL;
	t->held = false;
	size_t slot = t->slot;
	if (t->instance) {
		gt_job_continue(t->instance); // it has to run in order to leave
		t->leaving = true;
		r->running_jobs++; // it may do as much as any job until it is gone
		gt_job_release(t->instance, on_left);
		return;
	}
	json_decref(t->test_json);
	json_decref(t->records);
	json_decref(t->inputs);
	gt_testdir_close(&t->dir);
	free(t);
	gt_runner_slot_free(r, slot);
}

// What an earlier run made for this one stays, and all of it if nobody can tell what that is.
static void remove_artifacts(struct gt_test *t)
{
	const struct gt_run_config *config = t->runner->config;
	if (config->keep_artifacts || t->unreadable || t->dir.unusable)
		return;
	json_t *lent = gt_plan_lent(&config->plan, gt_test_stages(t));
	gt_testdir_remove_artifacts(t->dir.path, lent);
	json_decref(lent);
}

static void end_test(struct gt_test *t, const char *status, const char *why, const char *stage,
                     const char *message)
{
	struct gt_runner *r = t->runner;
	gt_json_set(t->records, "artifacts", json_boolean(r->config->keep_artifacts));
	gt_code rc = GT_OK;
	if (!t->unreadable && !t->dir.unusable)
		rc = gt_record_write(t->dir.path, t->records, r->err);
	if (rc)
		gt_runner_fail(r, rc);
	gt_runner_emit(r, json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "event", "test-end", "test",
	                            t->test->id, "status", status, "why", why, "stage", stage,
	                            "message", gt_json_text(message)));
	// Last: what is not recorded has not happened, and is done again with what is there.
	if (!r->fatal)
		remove_artifacts(t);
	gt_test_leave(t);
}

static void next_stage(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	const struct gt_plan *plan = &r->config->plan;
	t->stage = gt_plan_next(plan, t->stage);
	if (r->fatal) {
		gt_test_leave(t);
	} else if (t->stage == GT_STAGE_COUNT) {
		end_test(t, GT_STATUS_PASS, plan->stages[GT_COMPARISON] ? "" : GT_WHY_PARTIAL, "", "");
	} else if (r->stopping) {
		gt_test_leave(t);
	} else {
		gt_attempt_start(t);
	}
}

bool gt_test_is_tried_again(const struct gt_test *t, const struct gt_ending *e,
                            struct gt_failures *failures)
{
	const struct gt_retries *retries = &t->runner->config->plan.retries;
	if (t->evicted) // with all that it would need
		return false;
	return e->host_gone || (!e->ok && gt_retry_again(retries, failures, e->why));
}

void gt_test_after_stage(struct gt_test *t, const struct gt_ending *e)
{
	const struct gt_stage_row *row = gt_stage(t->stage);
	json_t *detail = json_object_get(e->reply, "detail");
	if (gt_test_is_tried_again(t, e, &t->failures)) {
		t->attempt++;
		t->lost += e->host_gone;
		t->builtin = false; // the whole stage, from the class on
		t->alone = gt_retry_alone(&t->failures);
		next_stage(t);
	} else if (!e->ok) {
		end_test(t, row->failed, e->why, row->name, e->message);
	} else if (t->stage == GT_COMPARISON && !gt_json_bool_or(detail, "match", false)) {
		end_test(t, GT_STATUS_NUMERICS, gt_json_string_or(detail, "difference", "value"),
		         row->name, gt_json_string_or(detail, "message", ""));
	} else {
		t->stage++;
		t->attempt = 1;
		t->failures = (struct gt_failures){0};
		t->lost = 0;
		t->builtin = false;
		next_stage(t);
	}
}

// What an earlier run left cannot be read: the first stage fails with that.
static void begin_refused(struct gt_test *t, const char *message)
{
	t->unreadable = true;
	t->stage = gt_plan_next(&t->runner->config->plan, t->stage);
	gt_attempt_fail(t, "error", message);
}

void gt_test_start(struct gt_runner *r, size_t slot, const struct gt_case *test)
{
	const struct gt_plan *plan = &r->config->plan;
	struct gt_test *t = gt_zalloc(1, sizeof *t);
	*t = (struct gt_test){.runner = r, .slot = slot, .test = test, .attempt = 1,
	                      .test_json = gt_case_to_json(test)};
	r->slots[slot] = t;
	struct gt_err err = {0};
	gt_code rc = gt_testdir_open(r->rundir, test, r->options, plan->stages[GT_SETUP],
	                             plan->options->load_inputs, &t->dir, &t->records, &err);
	gt_json_set(t->records, "test", gt_json_text(test->id));
	t->evicted = t->dir.unusable;
	if (!rc)
		next_stage(t);
	else if (rc == GT_DISK || rc == GT_NO_MEMORY)
		gt_attempt_fail_run(t, &err);
	else
		begin_refused(t, err.text);
}

void gt_test_host_changed(struct gt_test *t, const struct gt_host *host)
{
	bool own_gone = host == t->own && host->state != GT_HOST_READY;
	if (own_gone) // also if the test is held and waits for something else: it gets another one then
		t->own = NULL;
	if (t->waits_for != host)
		return;
	t->waits_for = NULL;
	if (t->runner->stopping && gt_alone_is_still(t))
		t->held = true; // it leaves when the stage that is alone has ended
	else if (t->runner->stopping)
		gt_test_leave(t);
	else if (own_gone)
		gt_attempt_fail(t, "host", host->failure ? host->failure : host->surprise_text);
	else
		gt_attempt_start(t);
}

void gt_test_pause(struct gt_test *t, bool pause)
{
	t->suspended = pause;
	gt_alone_still(t);
}

void gt_test_go_on(struct gt_test *t)
{
	if (!t->held || gt_alone_is_still(t))
		return;
	if (t->runner->stopping)
		gt_test_leave(t);
	else
		gt_attempt_start(t);
}

void gt_test_stop(struct gt_test *t)
{
	if (t->job)
		gt_job_stop(t->job);
	else if (t->leaving || t->farewell)
		gt_job_stop(t->instance);
	else if (t->waits_for || t->held)
		gt_test_leave(t);
}
