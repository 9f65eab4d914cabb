// worker/outbox.h - messages to a peer that may be busy: sending never waits for it to read.
//
// Two processes that both wait until the other one reads wait for ever. One of a pair that writes
// through this, and reads all the while, cannot be part of that.
#ifndef GT_WORKER_OUTBOX_H
#define GT_WORKER_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>

struct gt_letter;

// Zero-initialised but for `fd`, a message socket, it is empty.
struct gt_outbox {
	int fd;
	struct gt_letter *first, *last; // what found no room yet, oldest first
};

// Send a message of two parts (either may be empty), now or with a later flush; in order. If the peer
// is gone it is dropped.
void gt_outbox_send(struct gt_outbox *box, const void *head, size_t head_length, const void *rest,
                    size_t rest_length);

// Something waits: flush when poll() says that `fd` takes more.
bool gt_outbox_waits(const struct gt_outbox *box);
void gt_outbox_flush(struct gt_outbox *box);

#endif // GT_WORKER_OUTBOX_H
