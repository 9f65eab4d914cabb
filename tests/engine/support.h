// What the engine tests share: a host's fork, and a scratch folder.
#ifndef GT_TESTS_ENGINE_SUPPORT_H
#define GT_TESTS_ENGINE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/engine.h"

// How a forked job ended.
struct outcome {
	int status;        // as waitpid gives it
	bool framed;       // it came to its end and said so
	struct gt_err err; // valid if framed; code GT_OK is success
	char *log;         // what it wrote to stderr
};

typedef gt_code body(void *argument, struct gt_err *err);

// Fork, run `run` with stderr in a file, send what it says and leave with _exit.
void in_job(body *run, void *argument, struct outcome *out);
void free_outcome(struct outcome *out);

// Run a body that must succeed / must fail with that code and a sentence that holds `part`.
void must_pass(body *run, void *argument);
void must_fail(body *run, void *argument, gt_code code, const char *part);

// A new folder for this program, a file in it (allocated), and its removal.
const char *scratch_folder(void);
char *scratch(const char *name);
void remove_scratch(void);

void write_text(const char *path, const char *text);

// A value with one tensor whose bytes are a copy of `data`.
void add_value(struct gt_values *values, const char *name, enum gt_dtype type, uint32_t rank,
               const int64_t *dims, const void *data);

// GT_INTERNAL with a sentence unless value `i` has that type, shape and those bytes.
gt_code same_value(const struct gt_values *values, size_t i, enum gt_dtype type, uint32_t rank,
                     const int64_t *dims, const void *data, struct gt_err *err);

#endif // GT_TESTS_ENGINE_SUPPORT_H
