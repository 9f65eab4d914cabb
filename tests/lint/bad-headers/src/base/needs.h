#ifndef GT_BASE_NEEDS_H
#define GT_BASE_NEEDS_H
uint64_t gt_needs(void);
#endif
