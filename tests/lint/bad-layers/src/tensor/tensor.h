#include "onnx/onnx-ml.pb-c.h"
#include "core/case.h"
