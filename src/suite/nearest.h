// suite/nearest.h - which name was probably meant, for "did you mean" in sentences.
//
// Pure; knows nothing of suites, and serves the command line too.
#ifndef GT_SUITE_NEAREST_H
#define GT_SUITE_NEAREST_H

#include <stddef.h>

// How near `name` is to what was typed: smaller is nearer, SIZE_MAX is not worth a suggestion.
// First come names at most three edits away (and no more than half of what was typed), then names
// that begin or end with it, the shortest first.
size_t gt_nearness(const char *typed, const char *name);

#endif // GT_SUITE_NEAREST_H
