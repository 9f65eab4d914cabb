#include "suite/nearest.h"

#include <stdint.h>
#include <string.h>

#define MAX_DISTANCE 3

static size_t smallest(size_t a, size_t b)
{
	return a < b ? a : b;
}

// Number of bytes to insert, delete or replace; MAX_DISTANCE + 1 for everything beyond that. Only
// the cells near the diagonal can matter, so the cost grows with the length, not its square.
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m)
{
	enum { WIDTH = 2 * MAX_DISTANCE + 1, FAR = MAX_DISTANCE + 1 };
	if ((n > m ? n - m : m - n) > MAX_DISTANCE)
		return FAR;
	size_t row[WIDTH + 1]; // row[k]: first i bytes of a against first i + k - MAX_DISTANCE of b
	for (size_t k = 0; k <= WIDTH; k++)
		row[k] = k < MAX_DISTANCE || k == WIDTH ? FAR : k - MAX_DISTANCE;
	for (size_t i = 1; i <= n; i++) {
		size_t best = FAR, left = FAR;
		for (size_t k = 0; k < WIDTH; k++) {
			size_t value = FAR;
			if (i + k >= MAX_DISTANCE && i + k - MAX_DISTANCE <= m) {
				size_t j = i + k - MAX_DISTANCE;
				value = smallest(row[k + 1] + 1, left + 1);
				if (j > 0)
					value = smallest(value, row[k] + (a[i - 1] != b[j - 1]));
			}
			row[k] = left = smallest(value, FAR);
			best = smallest(best, left);
		}
		if (best == FAR)
			return FAR;
	}
	return row[m - n + MAX_DISTANCE];
}

size_t gt_nearness(const char *typed, const char *name)
{
	size_t n = strlen(typed), m = strlen(name);
	size_t distance = edit_distance(typed, n, name, m);
	if (distance <= MAX_DISTANCE && 2 * distance <= n)
		return distance;
	if (n < 2 || m < n)
		return SIZE_MAX;
	if (strncmp(name, typed, n) == 0 || strcmp(name + m - n, typed) == 0)
		return MAX_DISTANCE + m;
	return SIZE_MAX;
}
