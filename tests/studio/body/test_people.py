"""Who is drawn, and that the draws depend on nothing else."""

import numpy as np
import pytest

from kpl.studio.body import people


def test_body_weights_are_a_partition(anatomy):
    weights = people.body_weights(0.3, 0.4, 0.6, 0.2, 0.7, np.array([0.2, 0.5, 0.3]))
    for kind in ("race", "universal", "height", "proportions"):
        assert sum(w for label, w in weights.items() if label.startswith(f"{kind}:")) == pytest.approx(1)
    assert set(weights) <= set(anatomy.label_list)


def test_subjects_differ_and_repeat(anatomy):
    labels = anatomy.label_list
    first, again, other, seeded = (
        people.draw_subject(seed, number, labels) for seed, number in ((1, 1), (1, 1), (1, 2), (2, 1))
    )
    assert first.weights == again.weights
    assert first.weights != other.weights and first.weights != seeded.weights
    assert 18 <= first.years <= 80 and first.ancestry.sum() == pytest.approx(1)
    assert people.age(1, 1) == first.years


def test_all_expressions_name_actions_of_the_basis(anatomy):
    subject = people.draw_subject(1, 1, anatomy.label_list)
    assert len(people.EXPRESSIONS) == 25
    assert list(people.EXPRESSIONS) == [*(f"{i:02d}" for i in range(1, 23)), "other_1", "other_2", "other_3"]
    for expression in people.EXPRESSIONS:
        assert set(people.draw_expression(subject, expression, anatomy.label_list)) <= set(anatomy.label_list)


def test_purposes_have_their_own_numbers():
    subject = people.Subject(1, 2, True, 30.0, np.zeros(3), {})
    assert subject.generator("rig").random() == subject.generator("rig").random()
    keys = (("rig",), ("skin",), ("light", "01"), ("light", "02"))
    draws = [subject.generator(*key).random() for key in keys]
    assert len(set(draws)) == 4
