// engine/iree_message.h - the IREE runtime's status texts, made into sentences. Private to engine/.
//
// Pure: text in, text out.
#ifndef GT_ENGINE_IREE_MESSAGE_H
#define GT_ENGINE_IREE_MESSAGE_H

#include "tensor/values.h"

// Append what happened and the status code, without places in IREE's sources, call stacks and
// long attributes: "file.c:12: CODE; it broke; while doing this; \n[ 0] ..." -> "it broke (CODE)".
void gt_iree_sentence(const char *text, struct gt_buf *out);

// If a call failed because an input does not fit what the function takes, write that sentence
// (GT_MISMATCH) and return true. The runtime does not say which input; it is named when only one
// of `inputs` is like the one that the runtime refused.
bool gt_iree_input_mismatch(const char *text, const struct gt_values *inputs, struct gt_err *err);

#endif // GT_ENGINE_IREE_MESSAGE_H
