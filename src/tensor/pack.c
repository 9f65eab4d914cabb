#include "tensor/pack.h"

gt_code gt_tensor_settle(struct gt_tensor *t, struct gt_err *err)
{
	const struct gt_dtype_row *row = gt_dtype_row(t->type);
	uint8_t *bytes = t->data;
	if (row && row->bits > 0 && row->bits < 8) {
		unsigned used = (unsigned)(t->count % (8u / row->bits)) * row->bits;
		if (used)
			bytes[t->bytes - 1] &= (uint8_t)((1u << used) - 1);
	}
	if (row && row->class == GT_CLASS_BOOL)
		for (size_t i = 0; i < t->bytes; i++)
			if (bytes[i] > 1)
				return gt_fail(err, GT_BAD_DATA, "element %zu of type bool is %u, not 0 or 1", i,
				               bytes[i]);
	return GT_OK;
}
