// tensor/wire.h - protobuf bytes checked and thinned before protobuf-c unpacks them.
//
// Internal to tensor/. protobuf-c recurses as deep as its input says, copies every byte field and
// cuts strings at a NUL. So the bytes are walked first, with protobuf-c's own descriptors: what is
// malformed or too deep is refused, and fields that the caller does not want are left out. Pages
// of a mapped file that hold only such fields are never read.
#ifndef GT_TENSOR_WIRE_H
#define GT_TENSOR_WIRE_H

#include "base/status.h"

#include <protobuf-c/protobuf-c.h>

// A field to leave out, wherever its message occurs.
struct gt_wire_drop {
	const ProtobufCMessageDescriptor *message;
	uint32_t id;
	// If not NULL: receives where the last occurrence's content lies in the input. Meant for
	// fields that are bytes; stays as it was when the field does not occur.
	ProtobufCBinaryData *found;
};

// Unpack a message of this type. GT_BAD_DATA if the bytes are not one, with the place in the
// sentence; GT_NO_MEMORY. Unknown fields are left out. A list of drops ends with {0}.
// Free the message with gt_wire_free().
GT_MUST_USE gt_code gt_wire_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                                   size_t length, const struct gt_wire_drop *drops,
                                   ProtobufCMessage **out, struct gt_err *err);
void gt_wire_free(ProtobufCMessage *message);

#endif // GT_TENSOR_WIRE_H
