// run/plan.h - pure rules of a run: which stages, on which host, from which files.
#ifndef GT_RUN_PLAN_H
#define GT_RUN_PLAN_H

#include "core/case.h"
#include "core/options.h"
#include "core/stages.h"
#include "run/retry.h"

// What a whole run does. Borrows everything.
struct gt_plan {
	const struct gt_options *options;
	bool stages[GT_STAGE_COUNT];    // those to run
	double limits_s[GT_STAGE_COUNT]; // of wall time
	uint64_t memory;                // limit of a job's private memory in bytes; 0: none
	struct gt_retries retries;
	bool leak_fails;                // a stage that leaves processes behind has failed
};

struct gt_placement {
	enum gt_host_kind host;
	bool instance; // served by the test's own instance process
};

// Who serves a stage of a test.
struct gt_placement gt_plan_place(const struct gt_plan *plan, const struct gt_case *test,
                                  enum gt_stage_id stage);

// The first stage to run at or after `stage`; GT_STAGE_COUNT if there is none.
enum gt_stage_id gt_plan_next(const struct gt_plan *plan, enum gt_stage_id stage);

// Files that `stage` reads and that no stage of this run has written ("made" holds those, name ->
// hash): taken from what an earlier run recorded ("known", the same). *needs is a new object for
// the request's "records". GT_BAD_USAGE names the file and the stage that writes it.
GT_MUST_USE gt_code gt_plan_needs(const struct gt_plan *plan, const struct gt_case *test,
                                  enum gt_stage_id stage, const json_t *made, const json_t *known,
                                  json_t **needs, struct gt_err *err);

#endif // GT_RUN_PLAN_H
