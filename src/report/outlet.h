// report/outlet.h - a standard stream that never makes its writer wait.
//
// Whoever reads may be slow, or have stopped reading: a pager, a terminal after Ctrl-S, a collector of
// logs that hangs. What finds no room is kept and sent later, in the order in which it came.
#ifndef GT_REPORT_OUTLET_H
#define GT_REPORT_OUTLET_H

#include "base/buf.h"

// All members are private but `error`.
struct gt_outlet {
	int fd;
	int own;      // the same pipe or terminal, opened so that it does not block; -1: none
	bool socket;
	int error;    // errno of the last write, if it failed: what waited then is lost; else 0
	size_t left_out; // texts for which there was no room
	struct gt_buf pending;
};

// Borrows `fd`, whose flags stay as they are: others may share them.
void gt_outlet_open(struct gt_outlet *o, int fd);

// Send what waits and `text`, as far as there is room.
void gt_outlet_put(struct gt_outlet *o, const void *text, size_t length);

// Does something still wait for room?
bool gt_outlet_waits(const struct gt_outlet *o);

// Send all that waits, however long that takes.
void gt_outlet_drain(struct gt_outlet *o);

// Forget what waits, and free.
void gt_outlet_close(struct gt_outlet *o);

#endif // GT_REPORT_OUTLET_H
