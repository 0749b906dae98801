"""The head of the transfer network: two linear layers, what the tags say of each genre, and how familiar a chunk is.

`fit` finds the only solution of each layer, so no seed, no epoch and no learning rate changes it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from train.network.base import GenreNet
from train.network.body import EMBEDDING, POOLS, TAGS

TAGS_OF = {
    "blues": ("blues",),
    "country": ("country",),
    "disco": ("dance", "party", "70s", "funk"),
    "hiphop": ("Hip-Hop",),
    "jazz": ("jazz",),
    "metal": ("metal", "heavy metal"),
    "pop": ("pop",),
    "rock": ("rock", "classic rock", "hard rock"),
}
"""Tags that speak for a genre, by its name in lower case, letters and digits alone."""
PRIOR = 0.3  # share of the logarithm of a genre's tags in its logit
FLOOR, NEUTRAL = 0.02, 0.07  # added to the sum of a genre's tags; for a genre without tags

LIMIT = 1.5  # of a standardised input: one number far from the training chunks' is no stronger a clue
L2_HEARD, L2_POOLED = 0.02, 0.6  # on these inputs; a half of it times the squared weights is added to the loss
ITERATIONS = 100  # of L-BFGS, at most
SHARES = (1.0, -0.7, -0.3)  # of energy, distance and excess in the familiarity, all in deviations of training chunks
SHRINKAGE = 0.1  # of the covariance, towards its mean variance
MIN_VARIANCE = 1e-6  # of a standardised number
MIN_DEVIATION = 1e-3


class Head(nn.Module):
    """Pools, embedding and tags to the labels' logits and a familiarity."""

    scored_tags: Tensor
    neutral: Tensor
    whiten: Tensor
    centres: Tensor
    shares: Tensor
    offset: Tensor

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.heard = nn.Linear(EMBEDDING + len(TAGS), labels)
        self.pooled = nn.Linear(POOLS, labels)
        self.register_buffer("scored_tags", torch.zeros(len(TAGS), labels))  # 1 where a tag speaks for a label
        self.register_buffer("neutral", torch.full((labels,), NEUTRAL))
        self.register_buffer("whiten", torch.eye(EMBEDDING))
        self.register_buffer("centres", torch.zeros(labels, EMBEDDING))  # of the labels, whitened
        self.register_buffer("shares", torch.tensor(SHARES))  # of energy, distance and excess in the familiarity
        self.register_buffer("offset", torch.tensor(0.0))

    def forward(self, inputs: Tensor, tags: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised inputs (batch, 674) and tag probabilities (batch, 50) to logits (batch, labels), familiarity.

        Familiarity (batch,) is energy less shares of distance and excess, see `strangeness`; each counts from
        the mean of the training chunks, in their deviations.
        """
        weight = torch.cat([self.pooled.weight, self.heard.weight], dim=1)
        both = nn.functional.linear(limit(inputs), weight, self.pooled.bias + self.heard.bias)
        prior = torch.log(torch.matmul(tags, self.scored_tags) + self.neutral)
        return both / 2 + PRIOR * prior, torch.matmul(self.strangeness(inputs), self.shares) - self.offset

    def strangeness(self, inputs: Tensor) -> Tensor:
        """Standardised inputs (batch, 674) to energy, distance and excess (batch, 3).

        They are the energy of the first layer's logits (Liu et al. 2020), the Mahalanobis distance of the embedding to
        the nearest genre (Lee et al. 2018), and what the limit cuts off the pools. Energy and distance are of inputs
        without the limit: how far a number lies outside is no clue to the genre, but one to what is no music.
        """
        energy = torch.logsumexp(self.heard(inputs[:, POOLS:]), dim=1)
        apart = torch.matmul(inputs[:, POOLS : POOLS + EMBEDDING], self.whiten)[:, None] - self.centres
        distance = (apart * apart).sum(dim=2).amin(dim=1).sqrt()
        excess = (inputs - limit(inputs))[:, :POOLS].abs().mean(dim=1)
        return torch.stack([energy, distance, excess], dim=1)


@torch.no_grad()
def fit(network: GenreNet, prepared: Tensor, target: Tensor, labels: Sequence[str]) -> None:
    """Fit standardisation and head to prepared inputs (chunks, 674) and their labels, int64 (chunks,)."""
    head = network.classifier
    assert isinstance(head, Head)
    network.standardise.fit(prepared)
    inputs = network.standardise(prepared)
    limited = limit(inputs)
    weight = balance(target)
    for layer, columns, l2 in ((head.heard, slice(POOLS, None), L2_HEARD), (head.pooled, slice(0, POOLS), L2_POOLED)):
        solution = logistic_regression(limited[:, columns].double(), target, weight, len(labels), l2)
        for parameter, value in zip((layer.weight, layer.bias), solution, strict=True):
            parameter.copy_(value)
    head.scored_tags.copy_(scored_tags(labels))
    head.neutral.copy_(torch.where(head.scored_tags.any(dim=0), FLOOR, NEUTRAL))

    embedding = inputs[:, POOLS : POOLS + EMBEDDING].double()
    counts = torch.bincount(target, minlength=len(labels))
    centres = embedding.new_zeros(len(labels), EMBEDDING).index_add(0, target, embedding) / counts[:, None]
    apart = embedding - centres[target]
    covariance = torch.matmul(apart.T * weight, apart)
    variance = covariance.diagonal().mean().clamp(min=MIN_VARIANCE)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * variance * torch.eye(EMBEDDING).to(covariance)
    whiten = torch.linalg.cholesky(torch.linalg.inv(shrunk))
    head.whiten.copy_(whiten)
    head.centres.copy_(torch.matmul(centres, whiten))
    strangeness = head.strangeness(inputs)
    head.shares.copy_(torch.tensor(SHARES) / strangeness.std(dim=0).clamp(min=MIN_DEVIATION))
    head.offset.copy_(torch.matmul(strangeness.mean(dim=0), head.shares))


def limit(inputs: Tensor) -> Tensor:
    """Standardised inputs (chunks, 674), each within 1.5 deviations of the training chunks' mean."""
    return inputs.clamp(-LIMIT, LIMIT)


def balance(target: Tensor) -> Tensor:
    """Weight of each chunk, float64 (chunks,): every label that is present weighs as much, all together 1."""
    weight = 1.0 / torch.bincount(target)[target].double()
    return weight / weight.sum()


def scored_tags(labels: Sequence[str]) -> Tensor:
    """Which tags speak for which label, (50, labels): 1 or 0; a label whose name is not known has none."""
    scored = torch.zeros(len(TAGS), len(labels))
    for index, label in enumerate(labels):
        name = "".join(filter(str.isalnum, label.casefold()))
        for tag in TAGS_OF.get(name, ()):
            scored[TAGS.index(tag), index] = 1.0
    return scored


@torch.enable_grad()
def logistic_regression(
    inputs: Tensor, target: Tensor, weight: Tensor, labels: int, l2: float
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression by L-BFGS: weights (labels, numbers) and biases (labels,).

    Args:
        inputs: standardised, float64 (chunks, numbers).
        target: int64 (chunks,).
        weight: of each chunk, float64 (chunks,); they add up to 1.
        labels: how many.
        l2: a half of it times the sum of squared weights is added to the mean cross entropy.
    """
    weights = inputs.new_zeros(labels, inputs.shape[1], requires_grad=True)
    biases = inputs.new_zeros(labels, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weights, biases],
        max_iter=ITERATIONS,
        history_size=10,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
    )

    def loss() -> Tensor:
        solver.zero_grad()
        log_probs = torch.log_softmax(nn.functional.linear(inputs, weights, biases), dim=1)
        entropy = -(weight * log_probs.gather(1, target[:, None])[:, 0]).sum()
        total = entropy + l2 / 2 * (weights * weights).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach(), biases.detach()
