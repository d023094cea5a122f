"""Each baseline is what it is said to be, at the point where the network takes it."""

import numpy as np
import pytest
import torch

from tests.explainers.networks import Bag, image_subject, seeded, table_subject, text_subject
from xai_audit.errors import MethodError
from xai_audit.explainers.attributions import baselines, paths


def start(made, name, row=0, seed=0):
    network = paths.network_of(made)
    return baselines.start_of(made, network, name, paths.site(made, None), row, seed)


@pytest.mark.parametrize(("name", "value"), [("black", -2.0), ("white", 2.0), ("zero", 0.0)])
def test_plain_pictures(name, value):
    # The reader takes 0.5 off and divides by 0.25.
    assert torch.equal(start(image_subject(n=3), name), torch.full((1, 3, 16, 16), value))


def test_the_mean_picture_is_that_of_the_training_pictures():
    made = image_subject(n=3)
    pixels = np.stack(list(made.train.frame["image"])) / 255
    expected = ((pixels - 0.5) / 0.25).mean(axis=0).transpose(2, 0, 1)
    assert np.allclose(start(made, "mean")[0].numpy(), expected, atol=1e-5)


def test_a_blurred_picture_keeps_its_mean_and_loses_its_detail():
    made = image_subject(n=3)
    own = paths.batch_of(made, paths.network_of(made), 1)
    found = start(made, "blur", row=1)
    assert found.shape == own.shape
    assert found.std() < 0.3 * own.std()
    assert found.mean().item() == pytest.approx(own.mean().item(), abs=0.15)


def test_noise_is_the_rows_own_and_the_seeds():
    made = image_subject(n=3)
    assert torch.equal(start(made, "uniform", row=1), start(made, "uniform", row=1))
    assert not torch.equal(start(made, "uniform", row=1), start(made, "uniform", row=2))
    assert not torch.equal(start(made, "uniform", row=1), start(made, "uniform", row=1, seed=1))


def test_rows_of_means_and_medians():
    made = table_subject()
    values = made.train.frame.to_numpy()
    assert np.allclose(start(made, "mean")[0].numpy(), values.mean(axis=0), atol=1e-6)
    assert np.allclose(start(made, "median")[0].numpy(), np.median(values, axis=0), atol=1e-6)
    assert torch.equal(start(made, "zero"), torch.zeros(1, 4))


def test_texts_keep_their_special_tokens():
    made = text_subject(seeded(Bag), given=["good film.", "bad"])
    words = paths.network_of(made).module.words.weight
    for name, expected in (("pad", words[0]), ("mask", words[4]), ("zero", torch.zeros(6))):
        found = start(made, name)[0]
        assert torch.equal(found[[0, -1]], words[[2, 3]])
        assert torch.equal(found[1:-1], expected.expand(3, 6))


def test_a_drawn_text_is_cut_or_padded_to_the_rows_length():
    made = text_subject(given=["good film was dull", "bad"])
    network = paths.network_of(made)
    words = network.module.words.weight
    known = {text: network.reader.encodings([text])[0].ids for text in made.test.frame["text"]}
    site = paths.site(made, None)
    short = baselines.drawn(made, network, site, 0, made.test, np.array([1, 0, 1]))
    assert torch.equal(short[0], words[[2, known["bad"][1], 0, 0, 0, 3]])
    assert torch.equal(short[0], short[2])
    assert torch.equal(short[1], words[known["good film was dull"]])
    long = baselines.drawn(made, network, site, 1, made.test, np.array([0]))
    assert torch.equal(long[0], words[[2, known["good film was dull"][1], 3]])


def test_drawn_pictures_are_the_reference_rows():
    made = image_subject(n=3)
    network = paths.network_of(made)
    found = baselines.drawn(made, network, paths.site(made, None), 0, made.train, np.array([4, 2, 4]))
    for place, row in enumerate((4, 2, 4)):
        assert torch.equal(found[[place]], paths.read(network, made.train, row))


def test_each_kind_of_row_has_a_default_and_others_beside_it():
    for made in (image_subject(n=2), text_subject(n=2), table_subject(n=5)):
        first = baselines.chosen(made, "auto")
        assert first == next(iter(baselines.KNOWN[made.modality]))
        beside = baselines.others(made, first)
        assert len(beside) == baselines.BESIDE - 1
        assert first not in beside


def test_a_baseline_of_another_kind_of_row_is_refused_by_name():
    with pytest.raises(MethodError, match="no baseline 'pad' for pictures; there are mean, black"):
        baselines.chosen(image_subject(n=2), "pad")


def test_sites_and_columns_through_which_no_gradient_goes_are_refused():
    with pytest.raises(MethodError, match="site is for texts"):
        paths.checked(image_subject(n=2), "conv")
    made = text_subject(n=2)
    with pytest.raises(MethodError, match=r"no module 'word' in this network; there are words"):
        paths.site(made, "word")
    with pytest.raises(MethodError, match="whole site"):
        paths.site(made, "words@pos=0")
    assert str(paths.site(made, "words")) == "words"
