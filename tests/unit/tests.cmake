# gt_unit_test(<module> <layers it needs>...)
gt_unit_test(event base core)
gt_unit_test(case base tensor core)
gt_unit_test(result base core)
