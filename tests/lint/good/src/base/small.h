#ifndef GT_BASE_SMALL_H
#define GT_BASE_SMALL_H

#include <stddef.h>

size_t gt_small(void);

#endif // GT_BASE_SMALL_H
