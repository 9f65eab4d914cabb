#include "tensor/generate.h"

#include "base/hash.h"
#include "tensor/half.h"
#include "tensor/random.h"

#include <string.h>

// The key of a stream: a hash of the seed and of the two names' hashes, so that no pair of names
// runs into another when put side by side.
static uint64_t stream_key(uint64_t seed, const char *test, const char *input)
{
	uint64_t parts[3] = {seed, gt_hash64(test, strlen(test)), gt_hash64(input, strlen(input))};
	return gt_hash64(parts, sizeof parts);
}

// 0 .. n-1: the high half of a product, so each element takes exactly one number.
static uint64_t below(struct gt_random *r, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)gt_random_next(r) * n) >> 64);
}

static float unit_float(struct gt_random *r)
{
	return (float)(gt_random_next(r) >> 40) * 0x1p-24f;
}

static double unit_double(struct gt_random *r)
{
	return (double)(gt_random_next(r) >> 11) * 0x1p-53;
}

#define FILL(TYPE, COUNT, VALUE) \
	do { \
		TYPE *at = t->data; \
		for (size_t i = 0; i < (COUNT); i++) \
			at[i] = (TYPE)(VALUE); \
	} while (0)

gt_code gt_generate(struct gt_tensor *t, uint64_t seed, const char *test, const char *input,
                    struct gt_err *err)
{
	struct gt_random r;
	gt_random_seed(&r, stream_key(seed, test, input));
	size_t n = t->count;
	switch (t->type) {
	case GT_FLOAT32:
		FILL(float, n, unit_float(&r));
		return GT_OK;
	case GT_COMPLEX64:
		FILL(float, 2 * n, unit_float(&r));
		return GT_OK;
	case GT_FLOAT64:
		FILL(double, n, unit_double(&r));
		return GT_OK;
	case GT_COMPLEX128:
		FILL(double, 2 * n, unit_double(&r));
		return GT_OK;
	case GT_FLOAT16:
		FILL(uint16_t, n, gt_double_f16((double)unit_float(&r)));
		return GT_OK;
	case GT_BFLOAT16:
		FILL(uint16_t, n, gt_double_bf16((double)unit_float(&r)));
		return GT_OK;
	case GT_BOOL:
		FILL(uint8_t, n, below(&r, 2));
		return GT_OK;
	case GT_INT8:
		FILL(int8_t, n, (int)below(&r, 255) - 127);
		return GT_OK;
	case GT_UINT8:
		FILL(uint8_t, n, below(&r, 255));
		return GT_OK;
	case GT_INT16:
	case GT_UINT16:
		FILL(uint16_t, n, below(&r, 10000));
		return GT_OK;
	case GT_INT32:
	case GT_UINT32:
		FILL(uint32_t, n, below(&r, 10000));
		return GT_OK;
	case GT_INT64:
	case GT_UINT64:
		FILL(uint64_t, n, below(&r, 5));
		return GT_OK;
	default:
		return gt_fail(err, GT_UNSUPPORTED,
		               "input '%s': there is no rule to generate elements of type %s", input,
		               gt_dtype_name(t->type));
	}
}
