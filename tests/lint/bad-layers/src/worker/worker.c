#include "worker/frame.h"
#include "tensor/tensor.h"
#include "core/case.h"
