#include "tensor/tensor.h"

#include "base/file.h"
#include "tensor/half.h"
#include "tensor/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensor bytes are little-endian in files and used as they are in memory"
#endif

// Bytes asked of the system in one read; Linux serves at most 2 GiB anyhow.
#define READ_STEP ((size_t)1 << 30)

gt_code gt_shape_size(enum gt_dtype type, uint32_t rank, const int64_t *dims, size_t *count,
                      size_t *bytes, struct gt_err *err)
{
	*count = *bytes = 0;
	const struct gt_dtype_row *row = gt_dtype_row(type);
	if (!row)
		return gt_fail(err, GT_BAD_DATA, "element type %d is unknown", (int)type);
	if (row->class == GT_CLASS_STRING)
		return gt_fail(err, GT_UNSUPPORTED, "string tensors are not carried by this version");
	if (rank > GT_MAX_RANK)
		return gt_fail(err, GT_BAD_DATA, "rank %" PRIu32 " is above the limit of %d", rank,
		               GT_MAX_RANK);
	uint64_t product = 1;
	bool overflow = false, empty = false;
	for (uint32_t i = 0; i < rank; i++) {
		if (dims[i] < 0)
			return gt_fail(err, GT_BAD_DATA, "dimension %" PRIu32 " is negative: %" PRId64, i,
			               dims[i]);
		empty = empty || dims[i] == 0;
		// A zero further on makes an overflow harmless.
		if (__builtin_mul_overflow(product, (uint64_t)dims[i], &product))
			overflow = true;
	}
	if (empty)
		return GT_OK;
	if (overflow || product > SIZE_MAX || !gt_dtype_bytes(type, product, bytes)) {
		struct gt_buf text = {0};
		gt_shape_describe(rank, dims, type, &text);
		gt_fail(err, GT_BAD_DATA, "a tensor of shape %s has more bytes than can be addressed",
		        gt_buf_text(&text));
		gt_buf_free(&text);
		return GT_BAD_DATA;
	}
	*count = (size_t)product;
	return GT_OK;
}

gt_code gt_tensor_init(struct gt_tensor *t, enum gt_dtype type, uint32_t rank, const int64_t *dims,
                       struct gt_err *err)
{
	size_t count, bytes;
	*t = (struct gt_tensor){0};
	gt_code rc = gt_shape_size(type, rank, dims, &count, &bytes, err);
	if (rc)
		return rc;
	// calloc leaves the pages of a large tensor untouched until they are written.
	void *data = bytes ? calloc(1, bytes) : NULL;
	if (bytes && !data)
		return gt_fail(err, GT_NO_MEMORY, "no memory for a tensor of %zu bytes", bytes);
	*t = (struct gt_tensor){
		.type = type, .rank = rank, .count = count, .bytes = bytes, .data = data};
	if (rank)
		memcpy(t->dims, dims, rank * sizeof *dims);
	return GT_OK;
}

void gt_tensor_free(struct gt_tensor *t)
{
	free(t->data);
	*t = (struct gt_tensor){0};
}

// Element `i` of an array of TYPE. Tensor data is aligned for every TYPE (malloc).
#define AT(TYPE, data, i) (((const TYPE *)(data))[i])

double gt_tensor_double(const struct gt_tensor *t, size_t i)
{
	const void *data = t->data;
	switch (t->type) {
	case GT_FLOAT32:
		return (double)AT(float, data, i);
	case GT_FLOAT64:
		return AT(double, data, i);
	case GT_COMPLEX64:
		return (double)AT(float, data, 2 * i);
	case GT_COMPLEX128:
		return AT(double, data, 2 * i);
	case GT_FLOAT16:
		return gt_f16_double(AT(uint16_t, data, i));
	case GT_BFLOAT16:
		return gt_bf16_double(AT(uint16_t, data, i));
	case GT_BOOL:
	case GT_UINT8:
		return AT(uint8_t, data, i);
	case GT_INT8:
		return AT(int8_t, data, i);
	case GT_UINT16:
		return AT(uint16_t, data, i);
	case GT_INT16:
		return AT(int16_t, data, i);
	case GT_UINT32:
		return AT(uint32_t, data, i);
	case GT_INT32:
		return AT(int32_t, data, i);
	case GT_UINT64:
		return (double)AT(uint64_t, data, i);
	case GT_INT64:
		return (double)AT(int64_t, data, i);
	case GT_UINT4:
		return gt_packed_get(data, 4, i);
	case GT_UINT2:
		return gt_packed_get(data, 2, i);
	case GT_INT4: // the sign bit counts -8
		return (gt_packed_get(data, 4, i) ^ 8) - 8;
	case GT_INT2:
		return (gt_packed_get(data, 2, i) ^ 2) - 2;
	case GT_FLOAT4E2M1:
		return gt_f8_double(t->type, gt_packed_get(data, 4, i));
	case GT_FLOAT8E4M3FN:
	case GT_FLOAT8E4M3FNUZ:
	case GT_FLOAT8E5M2:
	case GT_FLOAT8E5M2FNUZ:
	case GT_FLOAT8E8M0:
		return gt_f8_double(t->type, AT(uint8_t, data, i));
	case GT_DTYPE_UNDEFINED:
	case GT_STRING:
	case GT_DTYPE_COUNT:
		break;
	}
	return 0;
}

void gt_shape_describe(uint32_t rank, const int64_t *dims, enum gt_dtype type, struct gt_buf *out)
{
	for (uint32_t i = 0; i < rank; i++)
		gt_buf_printf(out, "%" PRId64 "x", dims[i]);
	const struct gt_dtype_row *row = gt_dtype_row(type);
	gt_buf_puts(out, row ? row->short_name : gt_dtype_name(type));
}

void gt_tensor_describe(const struct gt_tensor *t, struct gt_buf *out)
{
	gt_shape_describe(t->rank, t->dims, t->type, out);
}

static gt_code read_exactly(int fd, const char *path, struct gt_tensor *t, struct gt_err *err)
{
	char *at = t->data;
	size_t left = t->bytes;
	while (left) {
		ssize_t n = read(fd, at, left < READ_STEP ? left : READ_STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return gt_fail_errno(err, "cannot read '%s'", path);
		if (n == 0)
			return gt_fail(err, GT_BAD_DATA, "'%s' shrank while it was read: %zu of %zu bytes",
			               path, t->bytes - left, t->bytes);
		at += n;
		left -= (size_t)n;
	}
	return GT_OK;
}

gt_code gt_tensor_load_bin(const char *path, struct gt_tensor *t, struct gt_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hang us
	if (fd < 0)
		return gt_fail_errno(err, "cannot open '%s'", path);
	struct stat st;
	gt_code rc = GT_OK;
	if (fstat(fd, &st) != 0) {
		rc = gt_fail_errno(err, "cannot stat '%s'", path);
	} else if (!S_ISREG(st.st_mode)) {
		rc = gt_fail(err, GT_BAD_DATA, "'%s' is not a regular file", path);
	} else if ((uint64_t)st.st_size != t->bytes) {
		struct gt_buf shape = {0};
		gt_tensor_describe(t, &shape);
		rc = gt_fail(err, GT_BAD_DATA, "'%s' has %lld bytes, a tensor of %s needs %zu", path,
		             (long long)st.st_size, gt_buf_text(&shape), t->bytes);
		gt_buf_free(&shape);
	}
	if (!rc)
		rc = read_exactly(fd, path, t, err);
	close(fd);
	if (!rc && (rc = gt_tensor_settle(t, err)))
		gt_err_context(err, "'%s'", path);
	return rc;
}

gt_code gt_tensor_save_bin(const char *path, const struct gt_tensor *t, struct gt_err *err)
{
	return gt_file_write(path, t->data, t->bytes, err);
}
