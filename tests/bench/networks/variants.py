"""What is compared: the official baseline, and then what differs from one common network, variant by variant."""

# What the benchmark changes of the parameters of 02_train_fold.
COMMON = {"fold": 0, "folds": 5, "weights": "none", "tracker": "none"}
BASELINE = "baseline"
VARIANTS = {
    BASELINE: {"fusion": "average", "head": "linear", "share": "all", "points2d": 0.0},
    "average": {"fusion": "average"},
    "channels9": {"fusion": "channels9"},
    "early": {"fusion": "early"},
    "late": {},
    "late_no_points2d": {"points2d": 0.0},
    "late_share_all": {"share": "all"},
    "late_share_sides": {"share": "sides"},
    "late_share_none": {"share": "none"},
    # Heads and losses are compared where they answer themselves: without 2D landmarks no shape is fitted to any.
    "late_linear": {"head": "linear", "points2d": 0.0},
    "late_axis": {"head": "axis", "points2d": 0.0},
    "late_axis_xy_z": {"head": "axis_xy_z", "points2d": 0.0},
    "late_sequence": {"head": "sequence", "points2d": 0.0},
    "late_l2": {"loss": "l2", "points2d": 0.0},
    "late_smooth_l1": {"loss": "smooth_l1", "points2d": 0.0},
    "late_view_dropout": {"view_dropout": 0.3},
}
