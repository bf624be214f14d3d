"""What is compared: the official baseline, and then what differs from one common network, variant by variant."""

# Every parameter of kpl.config.TrainFold that is not the benchmark's own.
COMMON = {
    "fold": 0,
    "folds": 5,
    "batch_size": 8,
    "lr": 3e-3,
    "weight_decay": 0.01,
    "cycles": 1,
    "fusion": "late",
    "share": "mirrored",
    "head": "fc",
    "dropout": 0.1,
    "loss": "l1",
    "points2d": 0.3,
    "view_dropout": 0.0,
    "augment": True,
    "weights": "none",
    "workers": 0,
}
VARIANTS = {
    "baseline": {"fusion": "average", "head": "linear", "share": "all", "points2d": 0.0},
    "average": {"fusion": "average"},
    "channels9": {"fusion": "channels9"},
    "early": {"fusion": "early"},
    "late": {},
    "late_no_points2d": {"points2d": 0.0},
    "late_share_all": {"share": "all"},
    "late_share_sides": {"share": "sides"},
    "late_share_none": {"share": "none"},
    "late_linear": {"head": "linear"},
    "late_axis": {"head": "axis"},
    "late_axis_xy_z": {"head": "axis_xy_z"},
    "late_sequence": {"head": "sequence"},
    "late_l2": {"loss": "l2"},
    "late_smooth_l1": {"loss": "smooth_l1"},
    "late_wing": {"loss": "wing"},
    "late_aligned": {"loss": "aligned"},
    "late_gaussian": {"loss": "gaussian"},
    "late_view_dropout": {"view_dropout": 0.3},
}
BASELINE = "baseline"
