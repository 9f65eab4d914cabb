// worker/frame.h - one message between a runner and a job's child: header and JSON text.
//
// Travels as exactly one SOCK_SEQPACKET message, so it is whole or absent; the checksum tells a
// frame from whatever else a stray library may write to the descriptor.
#ifndef GT_WORKER_FRAME_H
#define GT_WORKER_FRAME_H

#include "base/status.h"

#include <stdint.h>

#define GT_FRAME_MAGIC 0x31465447u // "GTF1", little-endian
#define GT_FRAME_MAX 131072u       // payload bytes

struct gt_frame_header {
	uint32_t magic;
	uint32_t length;   // of the payload
	uint64_t checksum; // gt_hash64 of the payload
};

// Send one frame. GT_IO, or GT_BAD_DATA if the text is longer than GT_FRAME_MAX.
GT_MUST_USE gt_code gt_frame_send(int fd, const char *text, size_t length, struct gt_err *err);

// Receive one frame: *text is allocated, NUL-terminated. GT_NOT_FOUND at the end of the stream or,
// on a non-blocking descriptor, when nothing waits; GT_BAD_DATA for anything that is not a frame.
GT_MUST_USE gt_code gt_frame_receive(int fd, char **text, struct gt_err *err);

#endif // GT_WORKER_FRAME_H
