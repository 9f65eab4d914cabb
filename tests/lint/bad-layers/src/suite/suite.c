#include "core/case.h"
#include "engine/toolchain.h"
