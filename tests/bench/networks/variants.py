"""What is compared: the official baseline, and then what differs from one common network, variant by variant."""

# What the benchmark changes of the parameters of 02_train_fold.
COMMON = {"fold": 0, "folds": 5, "weights": "packaged", "points2d": 1.0, "tracker": "none"}
BASELINE = "baseline"
SLOWER = {"lr": 6e-4}  # where no 2D landmarks are taught, ImageNet's weights bear less
VARIANTS = {
    BASELINE: {"fusion": "average", "head": "linear", "share": "all", "points2d": 0.0} | SLOWER,
    "average": {"fusion": "average"} | SLOWER,
    "channels9": {"fusion": "channels9"},
    "channels9_no_points2d": {"fusion": "channels9", "points2d": 0.0} | SLOWER,
    "early": {"fusion": "early"},
    "early_no_points2d": {"fusion": "early", "points2d": 0.0} | SLOWER,
    "late": {},
    "late_no_points2d": {"points2d": 0.0} | SLOWER,
    "late_share_all": {"share": "all"},
    "late_share_sides": {"share": "sides"},
    "late_share_none": {"share": "none"},
    # Heads and losses are compared where they answer themselves: without 2D landmarks no shape is fitted to any.
    "late_linear": {"head": "linear", "points2d": 0.0} | SLOWER,
    "late_axis": {"head": "axis", "points2d": 0.0} | SLOWER,
    "late_axis_xy_z": {"head": "axis_xy_z", "points2d": 0.0} | SLOWER,
    "late_sequence": {"head": "sequence", "points2d": 0.0} | SLOWER,
    "late_l2": {"loss": "l2", "points2d": 0.0} | SLOWER,
    "late_smooth_l1": {"loss": "smooth_l1", "points2d": 0.0} | SLOWER,
    "late_view_dropout": {"view_dropout": 0.3},
}
