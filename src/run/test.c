#include "run/test.h"

#include "base/utf8.h"
#include "run/job.h"
#include "run/record.h"
#include "run/retry.h"
#include "run/stagelog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct gt_test {
	struct gt_runner *runner;
	size_t slot;
	const struct gt_case *test;
	char *folder;
	json_t *test_json;
	enum gt_stage_id stage;
	int attempt;
	struct gt_failures failures; // of this stage
	bool waiting;      // for the host of this stage
	bool builtin;      // the test class leaves this stage to the built-in code
	bool alone;        // the next attempt has to have the machine for itself
	bool held;         // waits for that, or for another test that has it
	struct gt_job *job; // under way, or the idle instance
	struct gt_job *instance;
	json_t *records;   // stages.json
	json_t *inputs;    // of the stage that is under way; NULL if none is
	bool unreadable;   // stages.json of an earlier run is; it stays as it is
	bool refused;      // the stage may not begin: what is recorded of it stays as it is
};

static void start_stage(struct gt_test *t);
static void next_stage(struct gt_test *t);

static void give_back_machine(struct gt_test *t);

static void leave(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	give_back_machine(t);
	size_t slot = t->slot;
	if (t->instance)
		gt_job_release(t->instance);
	json_decref(t->test_json);
	json_decref(t->records);
	json_decref(t->inputs);
	free(t->folder);
	free(t);
	gt_runner_slot_free(r, slot);
}

// --no-artifacts: what people and programs read stays, the rest goes.
static void remove_artifacts(const struct gt_test *t)
{
	struct gt_names names = {0};
	(void)!gt_list_folder(t->folder, &names, NULL);
	for (size_t i = 0; i < names.count; i++) {
		const char *dot = strrchr(names.items[i], '.');
		if (dot && (strcmp(dot, ".log") == 0 || strcmp(dot, ".output") == 0 ||
		            strcmp(dot, ".json") == 0))
			continue;
		char *path = gt_path_join(t->folder, names.items[i]);
		(void)!gt_remove_tree(path, NULL);
		free(path);
	}
	gt_names_free(&names);
}

static void end_test(struct gt_test *t, const char *status, const char *why, const char *stage,
                     const char *message)
{
	struct gt_runner *r = t->runner;
	gt_code rc = t->unreadable ? GT_OK : gt_record_write(t->folder, t->records, r->err);
	if (rc) {
		gt_runner_fail(r, rc);
	} else {
		if (!r->config->keep_artifacts)
			remove_artifacts(t);
		gt_runner_emit(r, json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "event", "test-end", "test",
		                            t->test->id, "status", status, "why", why, "stage", stage,
		                            "message", gt_json_text(message)));
	}
	leave(t);
}

static json_t *end_event(const struct gt_test *t, const struct gt_ending *e)
{
	json_t *event = json_pack("{s:s,s:s,s:s}", "event", "stage-end", "test", t->test->id, "stage",
	                          gt_stage(t->stage)->name);
	gt_record_facts(event, t->attempt, e);
	return event;
}

static json_t *stages_of(const struct gt_test *t)
{
	return json_object_get(t->records, "stages");
}

// What stages.json keeps of a stage, and later stages go by.
static void keep_record(struct gt_test *t, const json_t *event, const json_t *identity)
{
	const struct gt_plan *plan = &t->runner->config->plan;
	if (t->refused && json_object_get(stages_of(t), gt_stage(t->stage)->name))
		return; // what it left before is as good as it was
	json_t *inputs = t->inputs ? t->inputs : json_array();
	json_t *basis = gt_plan_basis(plan, t->test, t->stage, stages_of(t));
	t->inputs = NULL;
	gt_json_set(stages_of(t), gt_stage(t->stage)->name,
	            gt_record_make(event, inputs, basis, identity));
}

static void after_stage(struct gt_test *t, const struct gt_ending *e)
{
	const struct gt_stage_row *row = gt_stage(t->stage);
	json_t *detail = json_object_get(e->reply, "detail");
	if (!e->ok && gt_retry_again(&t->runner->config->plan.retries, &t->failures, e->why)) {
		t->attempt++;
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
		t->builtin = false;
		next_stage(t);
	}
}

// No test is to blame for a disk that is full or broken: such a failure ends the run.
static gt_code check_disk(const struct gt_test *t, const struct gt_ending *e)
{
	struct gt_runner *r = t->runner;
	const char *code = gt_json_string_or(e->reply, "code", "");
	if (strcmp(code, gt_code_name(GT_DISK)) == 0)
		return gt_fail(r->err, GT_DISK, "%s", e->message);
	return gt_rundir_check_disk(r->rundir, r->err);
}

static void finish_stage(struct gt_test *t, struct gt_ending *e, const char *output,
                         const json_t *identity)
{
	struct gt_runner *r = t->runner;
	// An interrupted stage has not ended: a later run does it again.
	if (r->fatal || strcmp(e->why, "interrupted") == 0) {
		leave(t);
		return;
	}
	gt_code rc = GT_OK;
	if (!e->ok) {
		gt_stagelog_quote(e, output);
		rc = check_disk(t, e);
	}
	if (!rc)
		rc = gt_stagelog_write(t->folder, t->test->id, t->stage, e, output, r->err);
	if (rc) {
		gt_runner_fail(r, rc);
		leave(t);
		return;
	}
	json_t *event = end_event(t, e);
	keep_record(t, event, identity);
	gt_runner_emit(r, event);
	if (r->fatal)
		leave(t);
	else
		after_stage(t, e);
}

// A test class may define no inputs of its own: then they are generated as for any other test.
static bool is_left_to_us(const struct gt_test *t, const struct gt_ending *e)
{
	const json_t *detail = json_object_get(e->reply, "detail");
	return e->ok && !t->builtin && gt_json_bool_or(detail, "builtin", false);
}

#define SCRATCH_NAME 32

static void name_scratch(const struct gt_test *t, bool instance, char name[SCRATCH_NAME])
{
	snprintf(name, SCRATCH_NAME, instance ? "instance-%zu" : "job-%zu", t->slot);
}

// Has the job's whole tree ended by itself? Only then is nobody left in its working folder.
static bool left_nobody(const struct gt_ending *e)
{
	const struct gt_job_report *p = &e->report;
	return p->magic == GT_REPORT_MAGIC && p->isolated && !p->killed && p->leftovers == 0;
}

static void on_done(struct gt_job *job, struct gt_ending *ending)
{
	struct gt_test *t = job->user;
	char *output = gt_job_output(job);
	bool alive = job->instance && !job->closing;
	const json_t *identity = job->host->identity;
	t->job = NULL;
	t->runner->running_jobs--;
	give_back_machine(t);
	if (!job->instance && !left_nobody(ending)) {
		char scratch[SCRATCH_NAME];
		name_scratch(t, false, scratch);
		gt_rundir_drop(t->runner->rundir, scratch);
	}
	if (t->runner->config->plan.leak_fails)
		gt_ending_judge_leak(ending, gt_job_worker(job));
	if (job->instance && !alive)
		t->instance = NULL;
	if (is_left_to_us(t, ending) && !t->runner->stopping) {
		t->builtin = true;
		start_stage(t);
	} else {
		finish_stage(t, ending, output, identity);
	}
	free(output);
	gt_ending_free(ending);
}

// A stage that could not even be asked for.
static void fail_stage(struct gt_test *t, const char *why, const char *message)
{
	struct gt_ending e = {.message = gt_strdup(message)};
	snprintf(e.why, sizeof e.why, "%s", why);
	finish_stage(t, &e, "", NULL);
	gt_ending_free(&e);
}

static char *make_request(const struct gt_test *t, json_t *needs)
{
	json_t *request = json_pack("{s:s,s:s,s:o,s:O,s:O,s:o}", "action", "stage", "stage",
	                            gt_stage(t->stage)->name, "folder", gt_json_text(t->folder), "test",
	                            t->test_json, "options", t->runner->options, "records", needs);
	char *text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (!text)
		abort();
	return text;
}

static void start_job(struct gt_test *t, struct gt_host *host, struct gt_placement place,
                      const char *request)
{
	struct gt_runner *r = t->runner;
	struct gt_err err = {0};
	double limit_s = r->config->plan.limits_s[t->stage];
	r->running_jobs++;
	if (t->instance && place.instance) {
		t->job = t->instance;
		gt_job_request(t->instance, request, limit_s);
		return;
	}
	char scratch[SCRATCH_NAME];
	int folder = -1;
	name_scratch(t, place.instance, scratch);
	if (place.instance)
		gt_rundir_drop(r->rundir, scratch); // the last one may still be on its way out
	gt_code rc = gt_rundir_scratch(r->rundir, scratch, &folder, r->err);
	if (rc) { // no test is to blame for a disk that is full
		r->running_jobs--;
		gt_runner_fail(r, rc);
		leave(t);
		return;
	}
	t->job = gt_job_start(&r->loop, host, place.instance, folder, request, limit_s, on_done, t,
	                      &err);
	close(folder);
	if (place.instance)
		t->instance = t->job;
	if (!t->job) {
		r->running_jobs--;
		fail_stage(t, "host", err.text);
	}
}

// Is the host there? Else have it started, and wait for gt_test_host_changed().
static bool host_ready(struct gt_test *t, struct gt_host *host)
{
	struct gt_err err = {0};
	t->waiting = false;
	if (host->state == GT_HOST_READY)
		return true;
	if (host->deaths >= GT_MAX_HOST_DEATHS) {
		char *text = gt_format("the %s host cannot be used: %s", gt_host_name(host->kind),
		                       host->failure ? host->failure : "it died again and again");
		fail_stage(t, "host", text);
		free(text);
		return false;
	}
	if ((host->state == GT_HOST_IDLE || host->state == GT_HOST_FAILED) &&
	    gt_host_start(host, &t->runner->loop, t->runner->config->tools, &err)) {
		fail_stage(t, "host", err.text);
		return false;
	}
	t->waiting = true;
	return false;
}

static struct gt_placement place_stage(const struct gt_test *t)
{
	if (t->builtin)
		return (struct gt_placement){.host = GT_HOST_PLAIN};
	return gt_plan_place(&t->runner->config->plan, t->test, t->stage);
}

// Nothing else runs beside a stage that has to be alone.
static bool may_start(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	if (t->alone && !r->alone)
		r->alone = t;
	if (r->alone == t)
		return r->running_jobs == 0;
	return !r->alone;
}

static void give_back_machine(struct gt_test *t)
{
	t->alone = false;
	if (t->runner->alone == t)
		t->runner->alone = NULL;
}

static void start_stage(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	t->held = !may_start(t);
	if (t->held)
		return;
	const struct gt_plan *plan = &r->config->plan;
	struct gt_placement place = place_stage(t);
	struct gt_host *host = &r->hosts[place.host];
	if (!host_ready(t, host))
		return;
	struct gt_err err = {0};
	json_t *needs;
	if (gt_plan_check(plan, t->test, t->stage, stages_of(t), &needs, &err)) {
		json_decref(needs);
		t->refused = true;
		fail_stage(t, "error", err.text);
		return;
	}
	json_decref(t->inputs); // of an earlier attempt
	t->inputs = gt_plan_inputs(plan, t->test, t->stage, stages_of(t));
	char *request = make_request(t, needs);
	start_job(t, host, place, request);
	free(request);
}

static void emit_start(const struct gt_test *t)
{
	gt_runner_emit(t->runner, json_pack("{s:s,s:s,s:s,s:i}", "event", "stage-start", "test",
	                                    t->test->id, "stage", gt_stage(t->stage)->name,
	                                    "attempt", t->attempt));
}

static void next_stage(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	const struct gt_plan *plan = &r->config->plan;
	t->stage = gt_plan_next(plan, t->stage);
	if (r->fatal) {
		leave(t);
	} else if (t->stage == GT_STAGE_COUNT) {
		end_test(t, GT_STATUS_PASS, plan->stages[GT_COMPARISON] ? "" : "partial", "", "");
	} else if (r->stopping) {
		leave(t);
	} else {
		emit_start(t);
		if (r->fatal)
			leave(t);
		else
			start_stage(t);
	}
}

void gt_test_host_changed(struct gt_test *t, const struct gt_host *host)
{
	if (!t->waiting || place_stage(t).host != host->kind)
		return;
	if (t->runner->stopping)
		leave(t);
	else
		start_stage(t);
}

void gt_test_pause(struct gt_test *t, bool pause)
{
	struct gt_job *jobs[] = {t->job, t->instance != t->job ? t->instance : NULL};
	for (size_t i = 0; i < GT_COUNTOF(jobs); i++)
		if (jobs[i])
			(pause ? gt_job_pause : gt_job_continue)(jobs[i]);
}

void gt_test_go_on(struct gt_test *t)
{
	if (!t->held)
		return;
	if (t->runner->stopping)
		leave(t);
	else
		start_stage(t);
}

void gt_test_stop(struct gt_test *t)
{
	if (t->job)
		gt_job_stop(t->job);
	else if (t->waiting || t->held)
		leave(t);
}

// What an earlier run left cannot be read: the first stage fails with that.
static void begin_refused(struct gt_test *t, const char *message)
{
	t->unreadable = true;
	t->stage = gt_plan_next(&t->runner->config->plan, t->stage);
	emit_start(t);
	fail_stage(t, "error", message);
}

void gt_test_start(struct gt_runner *r, size_t slot, const struct gt_case *test)
{
	const struct gt_plan *plan = &r->config->plan;
	struct gt_test *t = gt_zalloc(1, sizeof *t);
	*t = (struct gt_test){.runner = r, .slot = slot, .test = test, .attempt = 1,
	                      .test_json = gt_case_to_json(test),
	                      .folder = gt_rundir_test_path(r->rundir, test)};
	r->slots[slot] = t;
	struct gt_err err = {0};
	gt_code rc = gt_rundir_test(r->rundir, test, r->options, plan->stages[GT_SETUP],
	                            plan->options->load_inputs, &t->records, &err);
	if (rc && rc != GT_BAD_DATA) {
		if (!r->fatal)
			*r->err = err;
		gt_runner_fail(r, rc);
		leave(t);
		return;
	}
	gt_json_set(t->records, "test", gt_json_text(test->id));
	if (rc)
		begin_refused(t, err.text);
	else
		next_stage(t);
}
