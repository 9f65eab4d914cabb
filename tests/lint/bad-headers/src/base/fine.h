#ifndef GT_BASE_FINE_H
#define GT_BASE_FINE_H
struct gt_fine {
	int a;
};
#endif
