// tensor/map.h - a file's bytes: copied, or of a large one by mmap, so that a model of 2 GiB is not read
// as a whole to be looked at.
//
// Internal to tensor/. Who shrinks a file while it is mapped, or a disk that cannot read it, gets the
// reader a SIGBUS; with one that is copied it is an error.
#ifndef GT_TENSOR_MAP_H
#define GT_TENSOR_MAP_H

#include "base/status.h"

#include <stdint.h>

struct gt_map {
	const uint8_t *bytes; // not NULL, even when length is 0
	size_t length;
	uint8_t *copy; // NULL if it is mapped
};

// Map a regular file of at most `limit` bytes; GT_BAD_DATA for others.
GT_MUST_USE gt_code gt_map_open(const char *path, size_t limit, struct gt_map *out,
                                struct gt_err *err);
void gt_map_close(struct gt_map *map);

#endif // GT_TENSOR_MAP_H
