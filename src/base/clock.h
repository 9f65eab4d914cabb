// base/clock.h - the only place that reads a clock.
#ifndef GT_BASE_CLOCK_H
#define GT_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

// Nanoseconds that never run backwards (CLOCK_MONOTONIC): for durations and deadlines.
int64_t gt_clock_ns(void);

// Wall time as RFC 3339 in UTC with milliseconds, "2026-01-31T08:15:30.123Z": for people. No result depends on it.
#define GT_WALL_SIZE 32
void gt_clock_wall(char out[GT_WALL_SIZE]);

// Read it back, to compare it with the times of files; false if it is no such text.
bool gt_clock_parse_wall(const char *text, struct timespec *out);

#endif // GT_BASE_CLOCK_H
