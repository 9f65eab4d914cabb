// stage/serve.h - a request in, a reply out: how a job's child does what the runner asks.
//
// Requests and replies are specified in docs/processes.md, "Requests".
#ifndef GT_STAGE_SERVE_H
#define GT_STAGE_SERVE_H

#include "engine/engine.h"

struct gt_server {
	const struct gt_engine *engine; // NULL in the plain host
	bool quiet; // do not print why a request failed: the caller does
};

// Are the files of `folder` those of `records` (name -> hash), which an earlier run has made?
GT_MUST_USE gt_code gt_stage_check_records(const char *folder, const json_t *records,
                                           struct gt_err *err);

// Serve one request (JSON text); returns the reply (JSON text, malloc'd), never NULL. `self` is a
// struct gt_server; the signature is that of gt_host_ops.serve.
char *gt_stage_serve(void *self, const char *request);

#endif // GT_STAGE_SERVE_H
