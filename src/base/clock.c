#include "base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t gt_clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void gt_clock_wall(char out[GT_WALL_SIZE])
{
	struct timespec t;
	struct tm parts;
	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &parts);
	char seconds[24];
	strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(out, GT_WALL_SIZE, "%s.%03dZ", seconds, (int)(t.tv_nsec / 1000000));
}

bool gt_clock_parse_wall(const char *text, struct timespec *out)
{
	struct tm parts = {0};
	int ms = 0, end = 0;
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
	if (!rest || sscanf(rest, ".%3dZ%n", &ms, &end) != 1 || !end || ms < 0)
		return false;
	*out = (struct timespec){.tv_sec = timegm(&parts), .tv_nsec = ms * 1000000};
	return true;
}
