#include "run/alone.h"

bool gt_alone_is_still(const struct gt_test *t)
{
	return t->suspended || (t->runner->quiet && t->runner->alone != t);
}

void gt_alone_still(const struct gt_test *t)
{
	struct gt_job *jobs[] = {t->job, t->instance != t->job ? t->instance : NULL};
	for (size_t i = 0; i < GT_COUNTOF(jobs); i++)
		if (jobs[i])
			(gt_alone_is_still(t) ? gt_job_pause : gt_job_continue)(jobs[i]);
}

static void set_quiet(struct gt_runner *r, bool quiet)
{
	if (r->quiet == quiet)
		return;
	r->quiet = quiet;
	for (int i = 0; i < r->config->jobs; i++)
		if (r->slots[i])
			gt_alone_still(r->slots[i]);
}

bool gt_alone_may_start(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	if (t->alone && !r->alone)
		r->alone = t;
	if (r->alone == t && r->running_jobs == 0)
		set_quiet(r, true);
	return r->alone == t ? r->quiet : !r->alone;
}

void gt_alone_give_back(struct gt_test *t)
{
	t->alone = false;
	if (t->runner->alone != t)
		return;
	set_quiet(t->runner, false);
	t->runner->alone = NULL;
}
