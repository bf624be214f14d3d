"""The neural second layer: landmarks as tokens, networks as channels."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.model_selection import GroupShuffleSplit
from torch import nn
from tqdm import tqdm

from kpl.landmarks import COUNT
from kpl.stacking.averages import fit_weights, weighted_average
from kpl.stacking.second_layers import ridge

WIDTH, BLOCKS, DROPOUT = 32, 1, 0.1
BATCH, STEPS, LOOKS = 64, 400, 40  # looks: how often the check samples are asked which epoch is best
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2


class TokenMixer(nn.Module):
    """(N, 106, C) features -> (N, 106, 3) standardised residuals.

    MLP-Mixer blocks (Tolstikhin et al. 2021): one MLP across landmarks, one across channels. The last layer starts at
    zero, so that training starts from nothing to add.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.embed = nn.Linear(channels, WIDTH)
        self.place = nn.Parameter(torch.zeros(COUNT, WIDTH))
        self.dropout = nn.Dropout(DROPOUT)
        self.blocks = nn.ModuleList(MixerBlock() for _ in range(BLOCKS))
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3))
        nn.init.zeros_(self.head[1].weight)
        nn.init.zeros_(self.head[1].bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        tokens = self.dropout(self.embed(features) + self.place)  # (N, 106, WIDTH)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens)


class MixerBlock(nn.Module):
    """Mix across landmarks, then across channels, each beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.across_landmarks = _mlp(COUNT, 32)
        self.across_channels = _mlp(WIDTH, 2 * WIDTH)
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.across_landmarks(self.norms[0](tokens).transpose(1, 2)).transpose(1, 2)
        return tokens + self.across_channels(self.norms[1](tokens))


def _mlp(width: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


def neural(
    points: np.ndarray, truth: np.ndarray, subjects: np.ndarray, new_points: np.ndarray, seed: int
) -> np.ndarray:
    """A small mixer network on what ridge leaves over; a second layer as in kpl.stacking.second_layers.

    It starts from ridge because it is slow to find by descent what ridge solves for: measured on 280 samples, it is
    left behind by ridge on its own, and level with it or better on top. L1, AdamW; the epoch is chosen on a fifth of
    the subjects. The same seed gives the same answer on the same machine.
    """
    features, new_features = _features(points, new_points, fit_weights(points, truth))
    linear = ridge(points, truth, subjects, np.concatenate([points, new_points], axis=1), seed)
    residual = truth - linear[: len(truth)]
    scale = residual.std(axis=(0, 1))  # (3,)
    target = torch.tensor(residual / scale, dtype=torch.float32)
    fit, check = next(GroupShuffleSplit(1, test_size=0.2, random_state=seed).split(residual, groups=subjects))
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _train(features[fit], target[fit], features[check], target[check])
        with torch.no_grad():
            predicted = model(new_features).double().numpy()
    return linear[len(truth) :] + predicted * scale


@contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices this small gain nothing from more threads, and lose much where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train(
    features: torch.Tensor,
    target: torch.Tensor,
    check: torch.Tensor,
    check_target: torch.Tensor,
) -> TokenMixer:
    """The model of the looked-at epoch with the lowest L1 on the check samples, in eval mode; epoch 0 adds nothing."""
    model = TokenMixer(features.shape[2])
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = math.ceil(len(features) / BATCH)
    epochs = math.ceil(STEPS / steps)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * steps)
    best, best_state = float("inf"), {}
    looks = set(np.linspace(0, epochs, min(epochs, LOOKS) + 1, dtype=int))
    with tqdm(range(epochs + 1), "neural", unit="epoch") as bar:
        for epoch in bar:
            if epoch:
                model.train()
                for batch in torch.randperm(len(features)).split(BATCH):
                    loss = nn.functional.l1_loss(model(features[batch]), target[batch])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
            if epoch not in looks:
                continue
            model.eval()
            with torch.no_grad():
                error = nn.functional.l1_loss(model(check), check_target).item()
            bar.set_postfix(l1=f"{error:.4f}")
            if error < best:
                best, best_state = error, {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best_state)
    return model.eval()


def _features(
    points: np.ndarray,
    new_points: np.ndarray,
    weights: np.ndarray,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardised tokens (N, 106, 3 + 3 K) and (M, 106, 3 + 3 K): the weighted mean, and each network's departure."""

    def raw(points: np.ndarray) -> np.ndarray:
        average = weighted_average(points, weights)
        return np.concatenate([average, *(points - average)], axis=2)

    old, new = raw(points), raw(new_points)
    center, spread = old.mean(axis=0), old.std(axis=0)
    spread[spread < 1e-12] = 1.0
    return tuple(torch.tensor((part - center) / spread, dtype=torch.float32) for part in (old, new))
