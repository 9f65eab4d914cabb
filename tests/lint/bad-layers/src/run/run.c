#include "engine/toolchain.h"
#include "engine/engine.h"
#include "stage/stage.h"
#include "report/report.h"
