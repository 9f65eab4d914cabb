#include "engine/engine.h"
#include "suite/suite.h"
#include "run/run.h"
