// worker/capture.h - what a child prints, kept within bounds: the first and the last bytes.
#ifndef GT_WORKER_CAPTURE_H
#define GT_WORKER_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

struct gt_capture {
	int log;         // file, borrowed
	size_t head;     // bytes written to it
	size_t head_max, tail_max;
	char *tail;      // ring of the last bytes, made when the head is full
	size_t tail_at;  // next position in the ring
	uint64_t total;
};

void gt_capture_add(struct gt_capture *c, const char *bytes, size_t length);

// Write what the ring holds, after a line that says how much is missing. Returns that number. What
// is added after this is captured anew.
uint64_t gt_capture_end(struct gt_capture *c);

#endif // GT_WORKER_CAPTURE_H
