#include "noun.h"
#include "../base/low.h"
#  include	"report/report.h"
