// base/json.h - what every layer needs around jansson: files, typed members, numbers JSON lacks.
#ifndef GT_BASE_JSON_H
#define GT_BASE_JSON_H

#include "base/buf.h"

#include <jansson.h>
#include <stdint.h>

// Read a JSON object from a file. GT_BAD_DATA names line and column. The caller owns *out.
GT_MUST_USE gt_code gt_json_read(const char *path, json_t **out, struct gt_err *err);

// Every record of ours says its format. GT_BAD_DATA if `json`, read from `path`, does not, or if its
// format is newer than `newest`.
GT_MUST_USE gt_code gt_json_check_format(const json_t *json, int64_t newest, const char *path,
                                         struct gt_err *err);

// Write a value with two-space indentation and a final newline, in one step (gt_file_write).
GT_MUST_USE gt_code gt_json_write(const char *path, const json_t *value, struct gt_err *err);

// A sealed file is one that a command leaves for a later one and nobody is to edit: its last member,
// "sum", is the hash (base/hash.h) of all bytes before it, so that no damage goes unseen. `value` is
// an object with "format" as its first member and without "sum".
GT_MUST_USE gt_code gt_json_write_sealed(const char *path, const json_t *value, struct gt_err *err);

// Read it back, without "sum". GT_BAD_DATA if it is damaged, or of another format than this one. No
// byte of a file whose sum is wrong is looked at further.
GT_MUST_USE gt_code gt_json_read_sealed(const char *path, int64_t format, json_t **out,
                                        struct gt_err *err);

// Member `key` of `object`, or a GT_BAD_DATA sentence that names the key and the wanted type.
// Strings and objects are borrowed from `object`.
GT_MUST_USE gt_code gt_json_string(const json_t *object, const char *key, const char **out,
                                   struct gt_err *err);
GT_MUST_USE gt_code gt_json_integer(const json_t *object, const char *key, int64_t *out,
                                    struct gt_err *err);

// The same with a default when the member is absent or null or of another type.
const char *gt_json_string_or(const json_t *object, const char *key, const char *fallback);
int64_t gt_json_integer_or(const json_t *object, const char *key, int64_t fallback);
double gt_json_number_or(const json_t *object, const char *key, double fallback);
bool gt_json_bool_or(const json_t *object, const char *key, bool fallback);

// A double as JSON: NaN and infinities as the strings "NaN", "Infinity", "-Infinity".
json_t *gt_json_real(double value);

// Text as JSON string; bytes that are not UTF-8 become U+FFFD, so it never fails.
json_t *gt_json_text(const char *text);

// Text that must not change on its way (paths, names, arguments) as JSON: a string, or {"hex": its bytes} if
// it is not UTF-8. NULL is "". And back, allocated; NULL if the form is wrong.
json_t *gt_json_bytes(const char *text);
char *gt_json_bytes_of(const json_t *value);

// Set `key`; takes `value`. Ends the process only when there is no memory.
void gt_json_set(json_t *object, const char *key, json_t *value);

// A value for a sentence: text in quotes, a list of texts as they stand, else JSON; "nothing" for NULL.
// Cut at 240 bytes. Allocated.
char *gt_json_show(const json_t *value);

#endif // GT_BASE_JSON_H
