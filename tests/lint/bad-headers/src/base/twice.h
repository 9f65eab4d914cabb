struct gt_twice {
	int a;
};
