#include "run/ending.h"

#include "base/utf8.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *gt_signal_name(int number, char buffer[16])
{
	const char *name = sigabbrev_np(number);
	if (name)
		snprintf(buffer, 16, "SIG%.11s", name);
	else
		snprintf(buffer, 16, "SIG%d", number);
	return buffer;
}

static void set(struct gt_ending *e, const char *why, char *message)
{
	e->ok = false;
	snprintf(e->why, sizeof e->why, "%s", why);
	free(e->message);
	e->message = message;
}

static void judge_signal(const struct gt_facts *f, const char *what, struct gt_ending *out)
{
	char name[16], why[32];
	gt_signal_name(f->report.signal, name);
	// Only this machine's administrator or its memory killer sends SIGKILL behind our back.
	if (f->report.signal == SIGKILL) {
		set(out, "killed", gt_format("%s was killed from outside (SIGKILL)", what));
		return;
	}
	snprintf(why, sizeof why, "crash:%s", name);
	set(out, why, gt_format("%s crashed", what));
	if (f->backtrace && *f->backtrace)
		out->backtrace = gt_utf8_clean(f->backtrace);
}

static void judge_memory(const struct gt_facts *f, const char *what, struct gt_ending *out)
{
	bool gib = f->memory >= UINT64_C(1) << 30;
	set(out, "memory", gt_format("%s needed more memory than the %.4g %s that --memory allows", what,
	                             (double)f->memory / (gib ? 1 << 30 : 1 << 20), gib ? "GiB" : "MiB"));
}

static void judge_reply(const struct gt_facts *f, const char *what, struct gt_ending *out)
{
	json_error_t why;
	out->reply = json_loads(f->frame, JSON_REJECT_DUPLICATES, &why);
	const json_t *ok = json_object_get(out->reply, "ok");
	if (!json_is_boolean(ok)) {
		set(out, "protocol", gt_format("%s sent a reply that is none", what));
		return;
	}
	out->ok = json_is_true(ok);
	if (out->ok)
		return;
	gt_code code = gt_code_parse(gt_json_string_or(out->reply, "code", "internal"));
	set(out, code == GT_UNSUPPORTED ? "unsupported" : "error",
	    gt_strdup(gt_json_string_or(out->reply, "message", "no reason was given")));
}

void gt_ending_judge(const struct gt_facts *f, const char *what, struct gt_ending *out)
{
	*out = (struct gt_ending){.report = f->report, .unstarted = f->unfit[0] && !f->own_host,
	                          .host_gone = f->lost && f->host_gone && !f->own_host};
	if (f->stopped)
		set(out, "interrupted", gt_strdup("the run was interrupted"));
	else if (f->timed_out)
		set(out, "timeout", gt_format("%s did not end within %g s", what, f->limit_s));
	else if (f->unfit[0])
		set(out, "host", gt_format("the host of %s cannot be used: %s", what, f->unfit));
	else if (f->refused)
		set(out, "host", gt_format("a job of %s could not be started: %s", what,
		                           strerror(f->refused)));
	else if (f->lost && f->host_gone)
		set(out, "host", gt_format("the process that %s was forked from%s is gone", what,
		                           f->own_host ? ", and that was for nothing else," : ""));
	else if (f->lost)
		set(out, "host", gt_format("the process that watched %s is gone", what));
	else if (f->unsent[0])
		set(out, "error", gt_format("%s cannot be asked: %s", what, f->unsent));
	else if (f->ended && f->report.out_of_memory) // also if only a helper died and the tool went on
		judge_memory(f, what, out);
	else if (f->ended && f->report.signal && !f->report.killed)
		judge_signal(f, what, out);
	else if (f->frame_rc == GT_NOT_FOUND)
		set(out, "protocol", gt_format("%s ended with exit code %d and without a result", what,
		                               (int)f->report.exit_code));
	else if (f->frame_rc)
		set(out, "protocol", gt_format("%s sent something that is no result", what));
	else if (f->ended && f->report.exit_code != 0)
		set(out, "protocol", gt_format("%s sent a result, but then ended with exit code %d", what,
		                               (int)f->report.exit_code));
	else
		judge_reply(f, what, out);
}

void gt_ending_judge_leak(struct gt_ending *e, const char *what)
{
	if (!e->ok || e->report.leftovers == 0)
		return;
	bool one = e->report.leftovers == 1;
	set(e, "leaked", gt_format("%s left %u process%s running: %s", what, e->report.leftovers,
	                           one ? "" : "es",
	                           e->report.leftover_names[0] ? e->report.leftover_names : "?"));
}

void gt_ending_free(struct gt_ending *ending)
{
	json_decref(ending->reply);
	free(ending->message);
	free(ending->backtrace);
	*ending = (struct gt_ending){0};
}
