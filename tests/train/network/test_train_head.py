"""The head of the transfer network: its fit against scikit-learn, its prior, and its familiarity against NumPy."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from train.network.base import Standardise
from train.network.body import EMBEDDING, POOLS, TAGS
from train.network.head import LIMIT, PRIOR, SHRINKAGE, TAGS_OF, Head, balance, fit, logistic_regression, scored_tags
from train.network.transfer import TransferNet

WIDTH = POOLS + EMBEDDING + len(TAGS)


def sample(labels, chunks, seed=0):
    """Prepared inputs of chunks around a centre of each label, and their labels, which are not equally frequent."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(chunks).sqrt().long() % labels
    centres = torch.randn(labels, WIDTH, generator=torch.Generator().manual_seed(1))
    prepared = centres[target] + torch.randn(chunks, WIDTH, generator=generator)
    prepared[:, POOLS + EMBEDDING :] = torch.sigmoid(prepared[:, POOLS + EMBEDDING :])
    return prepared, target


def network_for(labels):
    return TransferNet(torch.nn.Identity(), Standardise((WIDTH,)), Head(labels)).eval()


@pytest.fixture(scope="module")
def fitted():
    network = network_for(3)
    prepared, target = sample(3, 300)
    fit(network, prepared, target, ["jazz", "Hip-Hop", "polka"])
    return network, prepared, target


@pytest.mark.parametrize("l2", [0.03, 1.0])
def test_the_regression_is_scikit_learns(l2):
    rng = np.random.default_rng(0)
    target = np.sort(rng.integers(0, 3, 200))
    inputs = rng.standard_normal((200, 20)) + 0.7 * np.eye(3, 20)[target]
    weight = balance(torch.from_numpy(target))
    assert np.bincount(target, weight.numpy()) == pytest.approx(1 / 3)
    weights, biases = logistic_regression(torch.from_numpy(inputs), torch.from_numpy(target), weight, 3, l2)
    judge = LogisticRegression(C=1 / l2, tol=1e-8, max_iter=1000).fit(inputs, target, sample_weight=weight.numpy())
    given = torch.softmax(torch.from_numpy(inputs) @ weights.T + biases, dim=1).numpy()
    assert np.abs(given - judge.predict_proba(inputs)).max() < 1e-3


def test_the_same_chunks_give_the_same_head(fitted):
    network, prepared, target = fitted
    other = network_for(3)
    fit(other, prepared, target, ["jazz", "Hip-Hop", "polka"])
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_it_learns_and_generalises(fitted):
    network, _, _ = fitted
    prepared, target = sample(3, 100, seed=5)
    with torch.inference_mode():
        log_probs, embedding, tags, _ = network.classify(prepared)
    assert (log_probs.argmax(dim=1) == target).double().mean() > 0.95
    assert torch.equal(embedding, prepared[:, POOLS : POOLS + EMBEDDING])
    assert torch.equal(tags, prepared[:, POOLS + EMBEDDING :])


def test_tags_speak_for_genres_by_name():
    scored = scored_tags(["Hip-Hop", "hiphop", "metal", "polka"])
    named = [{TAGS[row] for row in column.nonzero()[:, 0].tolist()} for column in scored.T]
    assert named == [{"Hip-Hop"}, {"Hip-Hop"}, {"metal", "heavy metal"}, set()]
    assert {tag for tags in TAGS_OF.values() for tag in tags} <= set(TAGS)


def test_the_prior_raises_the_genre_whose_tags_are_heard(fitted):
    network, prepared, _ = fitted
    head, inputs = network.classifier, network.standardise(prepared[:1])
    silent, jazzy = torch.full((1, len(TAGS)), 0.01), torch.full((1, len(TAGS)), 0.01)
    jazzy[0, TAGS.index("jazz")] = 0.51
    with torch.inference_mode():
        change = (head(inputs, jazzy)[0] - head(inputs, silent)[0])[0]
    expected = PRIOR * np.log((0.51 + 0.02) / (0.01 + 0.02))
    assert change.numpy() == pytest.approx([expected, 0.0, 0.0], abs=1e-5)


def test_one_number_far_outside_says_no_more_than_one_at_the_limit(fitted):
    network, prepared, _ = fitted
    head, tags = network.classifier, prepared[:1, POOLS + EMBEDDING :]
    for number in (0, POOLS, POOLS + EMBEDDING):
        inputs = network.standardise(prepared[:1])
        logits = []
        for value in (0.5, LIMIT, 2 * LIMIT, 100.0):
            inputs[0, number] = value
            with torch.inference_mode():
                logits.append(head(inputs, tags)[0])
        assert not torch.equal(logits[0], logits[1])
        assert torch.equal(logits[1], logits[2])
        assert torch.equal(logits[1], logits[3])


def test_familiarity_is_energy_less_distance_and_excess(fitted):
    """Against NumPy, from the training chunks; and what is far from all of them is less familiar."""
    network, prepared, target = fitted
    other, _ = sample(3, 20, seed=7)
    with torch.inference_mode():
        given = network.classify(other)[3].numpy()
        heard = network.classifier.heard
        every = [network.standardise(each) for each in (prepared, other)]
        energies = [torch.logsumexp(heard(each[:, POOLS:]), dim=1).double().numpy() for each in every]
    embeddings = [each[:, POOLS : POOLS + EMBEDDING].double().numpy() for each in every]
    centres = np.stack([embeddings[0][target == label].mean(axis=0) for label in range(3)])
    apart = embeddings[0] - centres[target]
    covariance = (apart * balance(target).numpy()[:, None]).T @ apart
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.eye(EMBEDDING) * covariance.diagonal().mean()
    inverse = np.linalg.inv(shrunk)

    def distance(embedding):
        difference = embedding[:, None] - centres
        return np.sqrt(np.einsum("nli,ij,nlj->nl", difference, inverse, difference).min(axis=1))

    train, new = (distance(each) for each in embeddings)
    pools = [each[:, :POOLS].double().numpy() for each in every]
    excesses = [np.maximum(np.abs(each) - LIMIT, 0).mean(axis=1) for each in pools]
    energy, far, excess = (
        (measured - trained.mean()) / trained.std(ddof=1) for trained, measured in (energies, (train, new), excesses)
    )
    assert given == pytest.approx(energy - 0.7 * far - 0.3 * excess, abs=2e-3)
    with torch.inference_mode():
        far = network.classify(other + 5.0)[3].numpy()
    assert far.max() < given.min()


def test_constant_inputs_are_fitted(fitted):
    """Chunks that are all the same within a genre have no covariance."""
    prepared, target = sample(2, 40)
    still = torch.stack([prepared[target == 0][0], prepared[target == 1][0]])[target]
    network = network_for(2)
    fit(network, still, target, ["a", "b"])
    with torch.inference_mode():
        outputs = network.classify(still)
    assert all(torch.isfinite(each).all() for each in outputs)
    assert torch.equal(outputs[0].argmax(dim=1), target)
