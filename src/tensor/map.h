// tensor/map.h - a file's bytes by mmap: a model of 2 GiB is not copied to be looked at.
//
// Internal to tensor/. Who shrinks the file while it is mapped gets the reader a SIGBUS.
#ifndef GT_TENSOR_MAP_H
#define GT_TENSOR_MAP_H

#include "base/status.h"

#include <stdint.h>

struct gt_map {
	const uint8_t *bytes; // not NULL, even when length is 0
	size_t length;
};

// Map a regular file of at most `limit` bytes; GT_BAD_DATA for others.
GT_MUST_USE gt_code gt_map_open(const char *path, size_t limit, struct gt_map *out,
                                struct gt_err *err);
void gt_map_close(struct gt_map *map);

#endif // GT_TENSOR_MAP_H
