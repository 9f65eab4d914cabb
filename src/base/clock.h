// base/clock.h - the only place that reads a clock.
#ifndef GT_BASE_CLOCK_H
#define GT_BASE_CLOCK_H

#include <stdint.h>

// Nanoseconds that never run backwards (CLOCK_MONOTONIC): for durations and deadlines.
int64_t gt_clock_ns(void);

// Wall time as RFC 3339 in UTC with milliseconds, "2026-01-31T08:15:30.123Z": for people only.
#define GT_WALL_SIZE 32
void gt_clock_wall(char out[GT_WALL_SIZE]);

#endif // GT_BASE_CLOCK_H
