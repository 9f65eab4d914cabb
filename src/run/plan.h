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

// Limits and retries, which have a say in how a test ends: member "limits" of run-start.
json_t *gt_plan_limits(const struct gt_plan *plan);

struct gt_placement {
	enum gt_host_kind host;
	bool instance; // served by the test's own instance process
};

// Who serves a stage of a test.
struct gt_placement gt_plan_place(const struct gt_plan *plan, const struct gt_case *test,
                                  enum gt_stage_id stage);

// The first stage to run at or after `stage`; GT_STAGE_COUNT if there is none.
enum gt_stage_id gt_plan_next(const struct gt_plan *plan, enum gt_stage_id stage);

// Below, `records` is the object "stages" of stages.json (run/record.h): by stage, what the last one
// that ended has left, in this run or an earlier one.

// What `stage` depends on beyond files: members of the case and of the options, a new object. With
// --load-inputs what the inputs were made from is what their record says (`records` may be NULL).
json_t *gt_plan_basis(const struct gt_plan *plan, const struct gt_case *test,
                      enum gt_stage_id stage, const json_t *records);

// Is the basis recorded of `stage` what it would be in this run? GT_BAD_USAGE names the member that
// differs, and both values.
GT_MUST_USE gt_code gt_plan_check_basis(const struct gt_plan *plan, const struct gt_case *test,
                                        enum gt_stage_id stage, const json_t *records,
                                        struct gt_err *err);

// All files that `stage` reads, a new array of {"name", "stage" that writes it, "hash"}. Without
// "hash" if no record has it.
json_t *gt_plan_inputs(const struct gt_plan *plan, const struct gt_case *test,
                       enum gt_stage_id stage, const json_t *records);

// Is it this stage that has to load inputs (--load-inputs)?
bool gt_plan_loads(const struct gt_plan *plan, enum gt_stage_id stage);

// Names of the files that this run may need and does not make: what the stages that it leaves out have
// left, and with --load-inputs the inputs. A new array.
json_t *gt_plan_lent(const struct gt_plan *plan, const json_t *records);

// May `stage` go by what earlier runs left? Every stage before it that is not part of this run, but
// recorded, must have been done with what this run says, and read the files that are there now; and
// every file that `stage` reads must be recorded. Else GT_BAD_USAGE names stage and reason.
// *needs: name -> hash of the files that no stage of this run has written, for the request's
// "records"; a new object.
GT_MUST_USE gt_code gt_plan_check(const struct gt_plan *plan, const struct gt_case *test,
                                  enum gt_stage_id stage, const json_t *records, json_t **needs,
                                  struct gt_err *err);

#endif // GT_RUN_PLAN_H
