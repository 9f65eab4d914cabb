// cli/foreground.h - a stage in the foreground: in this very process where it can be, without limits.
#ifndef GT_CLI_FOREGROUND_H
#define GT_CLI_FOREGROUND_H

#include "engine/toolchain.h"
#include "run/ending.h"
#include "run/plan.h"

// What it did. Owns everything.
struct gt_foreground {
	struct gt_ending ending; // what it printed has gone to the terminal: nothing of it is counted
	json_t *tool;            // identity of what did it; NULL if nothing is known
};

// Do `request` (docs/processes.md, "Requests") where `place` says. A failure means that the stage
// could not even be begun; one that failed says so in out->ending.
GT_MUST_USE gt_code gt_foreground_run(const struct gt_toolchain *tools, struct gt_placement place,
                                      const json_t *request, struct gt_foreground *out,
                                      struct gt_err *err);

void gt_foreground_free(struct gt_foreground *f);

#endif // GT_CLI_FOREGROUND_H
