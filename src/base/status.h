// base/status.h - how every fallible function says what went wrong.
//
// A function that can fail returns gt_code and takes `struct gt_err *err` last (may be NULL).
// Whoever detects the failure writes one lower-case sentence without a full stop (gt_fail); each
// level that knows a noun the user knows puts it in front (gt_err_context). Only cli/ prints.
#ifndef GT_BASE_STATUS_H
#define GT_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#define GT_MUST_USE __attribute__((warn_unused_result))
#define GT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define GT_COUNTOF(a) (sizeof(a) / sizeof((a)[0]))

// Few codes, chosen by what the caller does with them. Names: gt_code_name().
typedef enum gt_code {
	GT_OK = 0,
	GT_NOT_FOUND,   // there is no such file, test, symbol, device
	GT_BAD_DATA,    // something read does not have the form it must have
	GT_BAD_USAGE,   // the user asked for something that makes no sense
	GT_UNSUPPORTED, // well formed, but this program or engine cannot do it
	GT_NO_MEMORY,   // a large allocation failed (small ones end the process), or no descriptor is left
	GT_IO,          // the system refused to read or write
	GT_DISK,        // it did because the disk is full, read-only or broken: no fault of the request
	GT_ENGINE,      // a compiler, runtime or importer said no
	GT_MISMATCH,    // two things that must fit each other do not
	GT_INTERNAL,    // a mistake of ours
} gt_code;

// One failure. Fixed size, nothing to free; an empty one is `{0}`.
struct gt_err {
	gt_code code;
	char text[1600];
};

// Name of a code for records: "ok", "not_found", "engine", ...
const char *gt_code_name(gt_code code);

// The inverse of gt_code_name(); an unknown name is GT_INTERNAL.
gt_code gt_code_parse(const char *name);

// Fill `err` (if any) and return `code`. Text that does not fit ends in "...".
gt_code gt_fail(struct gt_err *err, gt_code code, const char *format, ...) GT_PRINTF(3, 4);

// The same for a failed system call: appends ": " and the meaning of errno. Code is
// GT_NOT_FOUND for ENOENT, GT_DISK for what only a disk says, else GT_IO.
gt_code gt_fail_errno(struct gt_err *err, const char *format, ...) GT_PRINTF(2, 3);

// Put "<context>: " in front of the text and return the code that `err` holds (GT_INTERNAL if
// `err` is NULL: call it only on the way out of a failure).
gt_code gt_err_context(struct gt_err *err, const char *format, ...) GT_PRINTF(2, 3);

// Allocation that cannot fail: ends the process with one sentence when there is no memory.
// For everything that is small whatever the input; tensors and files use malloc and GT_NO_MEMORY.
void *gt_alloc(size_t bytes);
void *gt_zalloc(size_t count, size_t size);
void *gt_realloc(void *old, size_t count, size_t size);
char *gt_strdup(const char *text);
char *gt_strndup(const char *text, size_t length);
char *gt_format(const char *format, ...) GT_PRINTF(1, 2);

#endif // GT_BASE_STATUS_H
