// run/ask.h - one question to one host, outside a run: listing Python tests, flags, devices.
#ifndef GT_RUN_ASK_H
#define GT_RUN_ASK_H

#include "base/json.h"
#include "core/stages.h"
#include "engine/toolchain.h"

// Start a host, have a job serve `request`, stop the host. On success *reply is its "detail" and
// *identity (may be NULL) that of its engine, both new. A failure says what the host or the job
// said; `output` (may be NULL) receives what the job printed.
// SIGINT, SIGTERM and SIGHUP end the asking, and all further asking, with a failure; the signal is blocked and
// pending then, so that the caller can clean up. main() lets it come.
GT_MUST_USE gt_code gt_ask(enum gt_host_kind kind, const struct gt_toolchain *tools,
                           const json_t *request, double limit_s, json_t **detail,
                           json_t **identity, struct gt_buf *output, struct gt_err *err);

#endif // GT_RUN_ASK_H
