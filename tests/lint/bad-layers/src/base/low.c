#include "base/low.h"

#include "core/case.h"
