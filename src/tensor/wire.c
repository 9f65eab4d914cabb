#include "tensor/wire.h"

#include <stdlib.h>
#include <string.h>

// Protobuf's own limit on nested messages in its C++ and Python readers.
#define MAX_DEPTH 100

// What protobuf-c may allocate for a message: a nested message of two bytes becomes a struct of
// some hundred, so memory is bounded by a multiple of the thinned input.
#define MEMORY_BASE ((size_t)64 << 20)
#define MEMORY_FACTOR 64

struct walk {
	const uint8_t *start; // of the whole input, for places in sentences
	const struct gt_wire_drop *drops;
	uint8_t *out; // never longer than the input
	size_t length;
	struct gt_err *err;
};

// One field as it lies in the input.
struct field {
	const uint8_t *start, *content, *end; // from the tag; `content` excludes a length prefix
	uint32_t id;
	unsigned wire;
};

// Bytes of the varint at `p`, 0 if it does not end before `end`, or has more than ten bytes.
static size_t read_varint(const uint8_t *p, const uint8_t *end, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < 10 && p + i < end; i++) {
		*value |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (!(p[i] & 0x80))
			return i + 1;
	}
	return 0;
}

static gt_code broken(const struct walk *w, const uint8_t *at, const char *message,
                      const char *what)
{
	return gt_fail(w->err, GT_BAD_DATA, "byte %zu in %s: %s", (size_t)(at - w->start), message,
	               what);
}

static gt_code read_field(const struct walk *w, const ProtobufCMessageDescriptor *type,
                          const uint8_t *p, const uint8_t *end, struct field *f)
{
	uint64_t tag, value;
	size_t n = read_varint(p, end, &tag);
	if (!n || tag > UINT32_MAX || tag >> 3 == 0)
		return broken(w, p, type->name, "no valid field tag");
	*f = (struct field){.start = p, .id = (uint32_t)tag >> 3, .wire = tag & 7};
	p += n;
	uint64_t left = (uint64_t)(end - p), need;
	switch (f->wire) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		need = read_varint(p, end, &value);
		if (!need)
			return broken(w, p, type->name, "a number is cut off");
		break;
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		need = 8;
		break;
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		need = 4;
		break;
	case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
		n = read_varint(p, end, &need);
		if (!n || n > 5)
			return broken(w, p, type->name, "no valid length");
		p += n;
		left -= n;
		break;
	default:
		return broken(w, f->start, type->name, "a field has a wire type that is not in use");
	}
	if (need > left)
		return broken(w, f->start, type->name, "a field is longer than the rest of its message");
	f->content = p;
	f->end = p + need;
	return GT_OK;
}

static bool wire_fits(const ProtobufCFieldDescriptor *d, unsigned wire)
{
	unsigned own;
	switch (d->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		own = PROTOBUF_C_WIRE_TYPE_64BIT;
		break;
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		own = PROTOBUF_C_WIRE_TYPE_32BIT;
		break;
	default:
		own = PROTOBUF_C_WIRE_TYPE_VARINT;
	}
	// Repeated numbers may come packed or one by one, whatever the schema prefers.
	return wire == own || (d->label == PROTOBUF_C_LABEL_REPEATED &&
	                       wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
}

// Fields that may occur once share a bit with the other members of their oneof. Merging a message
// that comes twice is legal protobuf, no writer does it, and protobuf-c's merge is not for
// untrusted bytes.
static gt_code check_once(const struct walk *w, const ProtobufCMessageDescriptor *type,
                          const ProtobufCFieldDescriptor *d, const struct field *f, uint64_t *seen)
{
	bool one_of = d->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
	if (!one_of && (d->label == PROTOBUF_C_LABEL_REPEATED || d->type != PROTOBUF_C_TYPE_MESSAGE))
		return GT_OK;
	unsigned index = (unsigned)(d - type->fields);
	for (unsigned i = 0; one_of && i < index; i++)
		if ((type->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
		    type->fields[i].quantifier_offset == d->quantifier_offset)
			index = i;
	uint64_t bit = UINT64_C(1) << (index & 63);
	if (*seen & bit)
		return broken(w, f->start, type->name, "a field that must be single occurs twice");
	*seen |= bit;
	return GT_OK;
}

static const struct gt_wire_drop *find_drop(const struct walk *w,
                                            const ProtobufCMessageDescriptor *type, uint32_t id)
{
	for (const struct gt_wire_drop *d = w->drops; d->message; d++)
		if (d->message == type && d->id == id)
			return d;
	return NULL;
}

static void emit(struct walk *w, const uint8_t *from, const uint8_t *to)
{
	memcpy(w->out + w->length, from, (size_t)(to - from));
	w->length += (size_t)(to - from);
}

// Write `value` over a varint of `size` bytes, padded with empty groups if it is shorter.
static void patch_varint(uint8_t *at, size_t size, size_t value)
{
	for (size_t i = 0; i < size; i++, value >>= 7)
		at[i] = (uint8_t)((value & 0x7f) | (i + 1 < size ? 0x80 : 0));
}

static gt_code walk_message(struct walk *w, const ProtobufCMessageDescriptor *type,
                            const uint8_t *p, const uint8_t *end, int depth);

static gt_code walk_field(struct walk *w, const ProtobufCMessageDescriptor *type,
                          const struct field *f, uint64_t *seen, int depth)
{
	const ProtobufCFieldDescriptor *d = protobuf_c_message_descriptor_get_field(type, f->id);
	if (!d)
		return GT_OK;
	if (!wire_fits(d, f->wire))
		return gt_fail(w->err, GT_BAD_DATA, "byte %zu in %s: field '%s' has wire type %u",
		               (size_t)(f->start - w->start), type->name, d->name, f->wire);
	gt_code rc = check_once(w, type, d, f, seen);
	if (rc)
		return rc;
	const struct gt_wire_drop *drop = find_drop(w, type, f->id);
	if (drop) {
		if (drop->found) // protobuf-c's type is not const; nobody writes through it
			*drop->found = (ProtobufCBinaryData){(size_t)(f->end - f->content),
			                                     (uint8_t *)(uintptr_t)f->content};
		return GT_OK;
	}
	if (d->type == PROTOBUF_C_TYPE_STRING &&
	    memchr(f->content, '\0', (size_t)(f->end - f->content)))
		return gt_fail(w->err, GT_BAD_DATA, "byte %zu in %s: string '%s' has a NUL byte in it",
		               (size_t)(f->start - w->start), type->name, d->name);
	if (d->type != PROTOBUF_C_TYPE_MESSAGE) {
		emit(w, f->start, f->end);
		return GT_OK;
	}
	// The prefix keeps its width, so that the output cannot outgrow the input.
	uint64_t tag;
	size_t tag_size = read_varint(f->start, f->end, &tag);
	size_t prefix_size = (size_t)(f->content - f->start) - tag_size;
	size_t prefix = w->length + tag_size;
	emit(w, f->start, f->content);
	rc = walk_message(w, d->descriptor, f->content, f->end, depth + 1);
	patch_varint(w->out + prefix, prefix_size, w->length - prefix - prefix_size);
	return rc;
}

static gt_code walk_message(struct walk *w, const ProtobufCMessageDescriptor *type,
                            const uint8_t *p, const uint8_t *end, int depth)
{
	if (depth > MAX_DEPTH)
		return broken(w, p, type->name, "messages are nested more than 100 deep");
	uint64_t seen = 0;
	gt_code rc = GT_OK;
	while (p < end && !rc) {
		struct field f = {0};
		rc = read_field(w, type, p, end, &f);
		if (!rc)
			rc = walk_field(w, type, &f, &seen, depth);
		if (!rc)
			p = f.end;
	}
	return rc;
}

struct budget {
	size_t left;
	bool refused;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *b = data;
	void *p = size <= b->left ? malloc(size ? size : 1) : NULL;
	if (!p) {
		b->refused = true;
		return NULL;
	}
	b->left -= size;
	return p;
}

static void budget_free(void *data, void *p)
{
	(void)data;
	free(p);
}

gt_code gt_wire_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t length,
                       const struct gt_wire_drop *drops, ProtobufCMessage **out,
                       struct gt_err *err)
{
	*out = NULL;
	uint8_t *thin = malloc(length ? length : 1);
	if (!thin)
		return gt_fail(err, GT_NO_MEMORY, "no memory for a message of %zu bytes", length);
	struct walk w = {.start = bytes, .drops = drops, .out = thin, .err = err};
	gt_code rc = walk_message(&w, type, bytes, bytes + length, 1);
	if (!rc) {
		struct budget budget = {.left = MEMORY_BASE + w.length * MEMORY_FACTOR};
		ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
		*out = protobuf_c_message_unpack(type, &allocator, w.length, thin);
		if (!*out && budget.refused)
			rc = gt_fail(err, GT_NO_MEMORY, "no memory to unpack %zu bytes of %s", length,
			             type->name);
		else if (!*out)
			rc = gt_fail(err, GT_BAD_DATA, "%zu bytes are not a message %s", length, type->name);
	}
	free(thin);
	return rc;
}

void gt_wire_free(ProtobufCMessage *message)
{
	struct budget budget = {0};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
	if (message)
		protobuf_c_message_free_unpacked(message, &allocator);
}
