"""Settings and presets: the real data's composition, drawn by a rule, and combinations that make no data set."""

import pytest

from kpl.errors import BadInput
from kpl.studio.dataset.settings import ALL, PRESETS, Settings, settings_of


def test_the_presets_have_the_real_datas_composition():
    for preset in PRESETS:
        settings = settings_of(preset, {})
        assert [len(numbers) for numbers in settings.subjects.values()] == [683, 85, 86]
        rich = [number for number in settings.numbers if len(settings.expressions_of(number)) == ALL]
        assert len(settings.numbers) == 854 and len(rich) == 141 and settings.samples == 141 * 25 + 713 * 7
        shares = [len(set(rich) & set(numbers)) for numbers in settings.subjects.values()]
        assert shares == [113, 14, 14]
        assert settings.scale == 1
    assert settings_of("crops", {}).crop_size == 256 and settings_of("competition", {}).crop_size == 0
    assert settings_of("crops", {}).numbers == settings_of("competition", {}).numbers
    assert settings_of("crops", {}).with_all == settings_of("competition", {}).with_all


def test_who_has_all_expressions_depends_on_the_seed_alone():
    drawn = [settings_of("competition", {"seed": seed}).with_all for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == settings_of("competition", {"label_noise": 0.02}).with_all


def test_a_split_is_its_subjects_with_their_expressions():
    settings = Settings(train_subjects=2, val_subjects=1, test_subjects=1, subjects_with_all=4)
    assert [len(settings.samples_of(split)) for split in ("train", "val", "test")] == [50, 25, 25]
    assert settings.samples_of("val")[:2] == ["40001/01", "40001/02"]
    assert settings.samples_of("test")[-1] == "50001/other_3"
    assert Settings().samples == 136 * 7


def test_given_settings_win_over_a_presets():
    settings = settings_of("crops", {"train_subjects": 5, "subjects_with_all": 3, "crop_size": 64})
    assert (settings.train_subjects, settings.val_subjects, settings.crop_size) == (5, 85, 64)


def test_only_training_subjects_have_label_noise():
    settings = Settings(val_subjects=1, label_noise=0.02)
    assert [settings.noise_of(numbers[0]) for numbers in settings.subjects.values()] == [0.02, 0.0, 0.0]


@pytest.mark.parametrize(
    ("preset", "given", "said"),
    [
        ("huge", {}, "unknown"),
        ("competition", {"crop_size": 128}, "needs --preset crops"),
        ("crops", {"crop_size": 0}, "cannot be 0"),
        ("crops", {"crop_size": 4}, "must lie between"),
        ("crops", {"scale": 0.5}, "scale 1"),
        ("crops", {"train_subjects": 1, "val_subjects": 0, "test_subjects": 0}, "141 of 1 subjects"),
        ("", {"train_subjects": 40001}, "number of train subjects"),
        ("", {"label_noise": float("nan")}, "label noise"),
        ("", {"label_noise": -0.1}, "label noise"),
    ],
)
def test_impossible_combinations_are_refused(preset, given, said):
    with pytest.raises(BadInput, match=said):
        settings_of(preset, given)
