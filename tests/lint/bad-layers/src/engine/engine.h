#include "core/case.h"
#include "onnx/onnx-ml.pb-c.h"
