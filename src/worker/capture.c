#include "worker/capture.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gt_capture_add(struct gt_capture *c, const char *bytes, size_t length)
{
	c->total += length;
	if (c->head < c->head_max) {
		size_t n = length < c->head_max - c->head ? length : c->head_max - c->head;
		// A full disk must not stop the draining: the child would block and look hung.
		(void)!gt_write_all(c->log, bytes, n);
		c->head += n;
		bytes += n;
		length -= n;
	}
	if (!length)
		return;
	if (!c->tail)
		c->tail = gt_alloc(c->tail_max);
	if (length > c->tail_max) {
		bytes += length - c->tail_max;
		length = c->tail_max;
	}
	size_t first = c->tail_max - c->tail_at;
	if (first > length)
		first = length;
	memcpy(c->tail + c->tail_at, bytes, first);
	memcpy(c->tail, bytes + first, length - first);
	c->tail_at = (c->tail_at + length) % c->tail_max;
}

uint64_t gt_capture_end(struct gt_capture *c)
{
	uint64_t beyond = c->total - c->head;
	uint64_t dropped = beyond > c->tail_max ? beyond - c->tail_max : 0;
	if (dropped) {
		char line[80];
		int n = snprintf(line, sizeof line, "\n[... %llu bytes left out ...]\n",
		                 (unsigned long long)dropped);
		(void)!gt_write_all(c->log, line, (size_t)n);
		(void)!gt_write_all(c->log, c->tail + c->tail_at, c->tail_max - c->tail_at);
		(void)!gt_write_all(c->log, c->tail, c->tail_at);
	} else if (beyond) {
		(void)!gt_write_all(c->log, c->tail, (size_t)beyond);
	}
	free(c->tail);
	*c = (struct gt_capture){.log = c->log, .head_max = c->head_max, .tail_max = c->tail_max};
	return dropped;
}
