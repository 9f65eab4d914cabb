// engine/iree_message.h - what IREE's compiler and runtime say, made into sentences. Private to
// engine/.
//
// Pure: text in, text out.
#ifndef GT_ENGINE_IREE_MESSAGE_H
#define GT_ENGINE_IREE_MESSAGE_H

#include "tensor/values.h"

// Append what happened and the status code, without places in IREE's sources, call stacks and
// long attributes: "file.c:12: CODE; it broke; while doing this; \n[ 0] ..." -> "it broke (CODE)".
void gt_iree_sentence(const char *text, struct gt_buf *out);

// Append a diagnostic of the compiler as a sentence that begins with the cause: the place moves to
// the end, the dump of the operation is cut, and where the operation is the generic torch.operator
// the ONNX operator that it stands for is named. The whole text is in the stage's log.
//   "m.mlir:4:10: failed to legalize operation 'torch.operator' that was explicitly marked illegal:
//    %0 = "torch.operator"(...) <{name = "onnx.Det"}> : ..." -> "failed to legalize 'onnx.Det' at
//    m.mlir:4:10"
void gt_iree_diagnostic(const char *text, size_t length, struct gt_buf *out);

// If a call failed because an input does not fit what the function takes, write that sentence
// (GT_MISMATCH) and return true. The runtime does not say which input; it is named when only one
// of `inputs` is like the one that the runtime refused.
bool gt_iree_input_mismatch(const char *text, const struct gt_values *inputs, struct gt_err *err);

#endif // GT_ENGINE_IREE_MESSAGE_H
