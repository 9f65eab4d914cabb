// A plain protobuf writer, so that the tests of the reader do not lean on the reader's library.
#ifndef GT_TESTS_UNIT_PROTOBUF_H
#define GT_TESTS_UNIT_PROTOBUF_H

#include "base/buf.h"

#include <stdint.h>
#include <string.h>

static inline void varint(struct gt_buf *b, uint64_t value)
{
	do {
		char byte = (char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
		gt_buf_append(b, &byte, 1);
		value >>= 7;
	} while (value);
}

static inline void number(struct gt_buf *b, unsigned id, uint64_t value)
{
	varint(b, id << 3);
	varint(b, value);
}

static inline void bytes(struct gt_buf *b, unsigned id, const void *data, size_t length)
{
	varint(b, id << 3 | 2);
	varint(b, length);
	gt_buf_append(b, data, length);
}

static inline void text(struct gt_buf *b, unsigned id, const char *value)
{
	bytes(b, id, value, strlen(value));
}

// Put a message into another and empty it.
static inline void nest(struct gt_buf *b, unsigned id, struct gt_buf *inner)
{
	bytes(b, id, gt_buf_text(inner), inner->length);
	gt_buf_free(inner);
}

// Fields of TensorProto.
enum { DIMS = 1, TYPE = 2, FLOATS = 4, INT32S = 5, STRINGS = 6, INT64S = 7, NAME = 8, RAW = 9,
       DOUBLES = 10, UINT64S = 11, EXTERNAL = 13, LOCATION = 14 };

// A StringStringEntryProto.
static inline struct gt_buf external_entry(const char *key, const char *value)
{
	struct gt_buf b = {0};
	text(&b, 1, key);
	text(&b, 2, value);
	return b;
}

#endif // GT_TESTS_UNIT_PROTOBUF_H
