// run/ending.h - what an ending means: pure rules from exit facts and the reply, never from text.
#ifndef GT_RUN_ENDING_H
#define GT_RUN_ENDING_H

#include "base/json.h"
#include "worker/supervisor.h"

// What is known when a request is over.
struct gt_facts {
	bool ended;     // the child has ended and `report` is true
	bool lost;      // its supervisor or host went without a report
	bool host_gone; // ... it was the host
	bool own_host;  // which served nobody else
	int refused;    // errno of a host that could not even start it; else 0
	char unfit[128]; // why the host did not want to: half a sentence; "" if it did
	char unsent[96]; // why a request could not be sent; "" if it was
	bool timed_out; // our deadline fired first
	bool stopped;   // we killed it because the run was interrupted
	double limit_s;
	uint64_t memory; // limit in bytes; 0: none
	struct gt_job_report report;
	const char *backtrace; // text of the report; may be NULL
	gt_code frame_rc;  // GT_OK: `frame` is a reply; GT_NOT_FOUND: none came; else garbage came
	const char *frame;
};

struct gt_ending {
	bool ok;
	json_t *reply;    // owned; NULL if there was none that could be believed
	char why[32];     // docs/formats.md "Why"; "" when ok
	char *message;    // one sentence; owned; NULL when ok
	bool unstarted;   // a shared host did not want to: nothing has run yet
	bool host_gone;   // a shared host took it along
	double seconds;   // wall time
	char *backtrace;  // of a crash, one frame a line; owned; NULL when there is nothing to say
	struct gt_job_report report; // zero for a request that its instance outlived
};

// Judge. `what` names who did the work, for the sentence ("the compiler").
void gt_ending_judge(const struct gt_facts *facts, const char *what, struct gt_ending *out);
// --leak=fail: a request that succeeded but left processes behind has failed ("leaked").
void gt_ending_judge_leak(struct gt_ending *ending, const char *what);
void gt_ending_free(struct gt_ending *ending);

// "SIGSEGV" and the like, in `buffer`; "SIG40" for one without a name.
const char *gt_signal_name(int number, char buffer[16]);

#endif // GT_RUN_ENDING_H
