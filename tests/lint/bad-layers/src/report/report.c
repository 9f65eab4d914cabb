#include "core/result.h"
#include "suite/expect.h"
#include "run/run.h"
