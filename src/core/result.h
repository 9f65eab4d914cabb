// core/result.h - the one result model: a pure fold of the journal, the source of every report.
#ifndef GT_CORE_RESULT_H
#define GT_CORE_RESULT_H

#include "base/buf.h"
#include "base/json.h"
#include "core/stages.h"
#include "core/verdict.h"

struct gt_stage_result {
	bool ran, ok;
	double seconds;
};

// Text members are owned, never NULL ("" when absent).
struct gt_test_result {
	char *id, *suite, *folder;
	char *expected, *reason; // "PASS" and "" without an expectation
	char *fingerprint;       // of the case and its files; "" in a journal without
	char *status;            // "" until the test has ended
	char *why;               // "" for PASS, else docs/formats.md "Why"
	char *stage;             // stage it stopped in; "" for PASS
	char *message;           // one sentence; "" for PASS
	bool vacuous;            // an all-zero output would have matched too
	size_t leftovers;        // processes that outlived a stage, in all its attempts
	char *leaked;            // their names; "" if there were none
	bool flaky;              // a stage, or the test, ended differently when it was tried again
	bool unbacked;           // the files are not what its ending says (run/audit.h, not the journal)
	enum gt_verdict verdict;
	double seconds;          // sum over its stages
	struct gt_stage_result stages[GT_STAGE_COUNT];
};

// What happened to a host: no test is to blame for it, and none is judged by it.
struct gt_note {
	char *host;    // its kind
	char *what;    // "replaced" or "fallback"
	char *why;     // docs/formats.md "Notes"
	char *message; // of the first of its kind
	size_t count;
};

// Owns everything; zero-initialised is empty.
struct gt_result {
	json_t *run;        // the run-start event without "event"; NULL before it. "resumed": times of day
	struct gt_test_result *tests; // in the order of the journal
	size_t test_count;
	struct gt_note *notes; // each host, what and why once, in the order of the journal
	size_t note_count;
	char *reason;       // why the run stopped early, "interrupted", "max-failures", "audit"; NULL: it did not
	bool ended;         // run-end was seen, and no run-resume behind it
	bool complete;      // ... and every test had its terminal state
	double seconds;     // of the whole run
	size_t verdicts[GT_VERDICT_COUNT];
	void *index;        // id -> position; private
};

// Apply one event. GT_BAD_DATA for an event that cannot follow (unknown test, second end, ...).
GT_MUST_USE gt_code gt_result_apply(struct gt_result *r, const json_t *event, struct gt_err *err);

// The test called `id`; NULL if there is none. Borrowed, valid until the next apply.
struct gt_test_result *gt_result_find(const struct gt_result *r, const char *id);

// Fold <folder>/events.jsonl.
GT_MUST_USE gt_code gt_result_load(const char *folder, struct gt_result *out, struct gt_err *err);

// Append the content of results.json (docs/schema/results.schema.json).
void gt_result_write(const struct gt_result *r, struct gt_buf *out);

// How many tests the run has: those of a run that died while it named them too.
size_t gt_result_selected(const struct gt_result *r);

// How many tests ended otherwise than expected.
size_t gt_result_failures(const struct gt_result *r);

void gt_result_free(struct gt_result *r);

#endif // GT_CORE_RESULT_H
