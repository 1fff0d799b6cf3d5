"""Neural networks in PyTorch, all in one training loop: a gradient step for every row.

The window of the last rows of all columns, standardised by what was seen so far, and the calendar
of the row to be forecast go in; the change of each target from its last value comes out. When the
truth of a forecast is there, the squared error of that forecast is followed by one step of Adam;
where time is short, of every second, fourth … forecast alone (``stride``).
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
import torch
from torch import nn

from rtlstm.studies.compare.methods import neural_models as models
from rtlstm.studies.compare.methods.base import Setting
from rtlstm.studies.compare.recording import CALENDAR, History

Array = np.ndarray[Any, Any]
LIMIT = 10.0  # of standardised values
CLIP = 1.0  # of the gradient's norm


class _Neural:
    """The training loop; a subclass builds the network."""

    rows = 20  # of the window
    lr = 2e-3
    stinted = "one row in {} learned"

    def __init__(self, setting: Setting) -> None:
        torch.manual_seed(setting.seed)
        torch.set_num_threads(1)  # such small products are slower on several
        self._setting, self._places = setting, list(setting.targets)
        width, self._seen, self.stride = len(setting.columns), 0, 1
        self._sum, self._square = np.zeros(width), np.zeros(width)
        self._rows: deque[Array] = deque(maxlen=self.rows)
        self._times: deque[float] = deque(maxlen=self.rows)
        self._first: list[float] = []
        self._waiting: deque[tuple[Any, Array, Array]] = deque()
        self.network = self._build(width + CALENDAR)
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=self.lr, fused=True)
        self._made: Any = None

    def _build(self, inputs: int) -> Any:
        raise NotImplementedError

    @property
    def memory(self) -> int:
        """Bytes of weights, gradients, Adam's moments and the window."""
        weights = sum(w.numel() * w.element_size() for w in self.network.parameters())
        return 4 * weights + 8 * self.rows * len(self._setting.columns)

    def _moments(self) -> tuple[Array, Array]:
        mean = self._sum / self._seen
        spread = np.sqrt(np.maximum(self._square / self._seen - mean**2, 0.0))
        return mean, np.where(spread > 1e-12, spread, 1.0)

    def learn(self, row: Array, time: float) -> None:
        """Learn from the forecast that was made for this row, then keep the row."""
        if len(self._waiting) == self._setting.horizon:
            window, base, scale = self._waiting.popleft()
            if window is not None:
                self._train(window, (row[self._places] - base) / scale)
        self._seen += 1
        self._sum, self._square = self._sum + row, self._square + row * row
        self._rows.append(row)
        self._times.append(time)
        if len(self._first) < 2:
            self._first.append(time)

    def _train(self, window: Any, change: Array) -> None:
        """One step of Adam on the squared error of the change, clipped (columns of targets)."""
        said = self._made if self._setting.horizon == 1 else self.network(window)
        truth = torch.from_numpy(np.clip(change, -LIMIT, LIMIT)).float()[None]
        loss = nn.functional.mse_loss(said, truth)
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self._optimizer.step()

    def forecast(self) -> Array:
        """Return the last values plus the changes that the network foresees."""
        mean, spread = self._moments()
        rows = np.stack(self._rows)
        lacking = self.rows - len(rows)
        if lacking:
            rows = np.concatenate([np.repeat(rows[:1], lacking, axis=0), rows])
        z = np.clip((rows - mean) / spread, -LIMIT, LIMIT)
        clock = np.repeat(self._calendar()[None], self.rows, axis=0)
        window = torch.from_numpy(np.concatenate([z, clock], axis=1)).float()[None]
        learned_from = self._seen % self.stride == 0
        with torch.set_grad_enabled(learned_from and self._setting.horizon == 1):
            self._made = self.network(window)
        base, scale = self._rows[-1][self._places], spread[self._places]
        self._waiting.append((window if learned_from else None, base, scale))
        change = self._made.detach().numpy()[0].astype(float)
        made: Array = base + scale * np.where(np.isfinite(change), change, 0.0)
        return made

    def _calendar(self) -> Array:
        """Calendar (14,) of the row to be forecast."""
        step = self._first[-1] - self._first[0] if len(self._first) > 1 else math.nan
        times = self._times[-1] + step * np.arange(-2, 1)
        made: Array = History(np.zeros((3, 1)), times).calendar(self._setting.horizon)[-1]
        return made


class Rnn(_Neural):
    """A simple recurrent network, tanh."""

    def _build(self, inputs: int) -> Any:
        return models.Recurrent(nn.RNN, inputs, len(self._places))


class Lstm(_Neural):
    """An LSTM."""

    def _build(self, inputs: int) -> Any:
        return models.Recurrent(nn.LSTM, inputs, len(self._places))


class Gru(_Neural):
    """A GRU."""

    def _build(self, inputs: int) -> Any:
        return models.Recurrent(nn.GRU, inputs, len(self._places))


class Cnn(_Neural):
    """A one-dimensional convolutional network."""

    def _build(self, inputs: int) -> Any:
        return models.Convolutional(inputs, len(self._places), self.rows)


class Tcn(_Neural):
    """A temporal convolutional network."""

    def _build(self, inputs: int) -> Any:
        return models.TemporalConvolutional(inputs, len(self._places))


class Transformer(_Neural):
    """A Transformer encoder."""

    lr = 1e-3

    def _build(self, inputs: int) -> Any:
        return models.Attention(inputs, len(self._places), self.rows)


class NeuralOde(_Neural):
    """A latent neural ODE."""

    def _build(self, inputs: int) -> Any:
        return models.LatentOde(inputs, len(self._places))


class _Linear(_Neural):
    """LTSF-Linear: 96 rows, the targets alone."""

    rows, lr = 96, 5e-4


class NLinear(_Linear):
    """NLinear."""

    def _build(self, inputs: int) -> Any:
        return _OfTargets(models.NLinear(len(self._places), self.rows), self._places)


class DLinear(_Linear):
    """DLinear."""

    def _build(self, inputs: int) -> Any:
        return _OfTargets(models.DLinear(len(self._places), self.rows), self._places)


class _OfTargets(nn.Module):
    """A network that sees the targets' columns alone."""

    def __init__(self, network: Any, places: list[int]) -> None:
        super().__init__()
        self.network, self.places = network, places

    def forward(self, x: Any) -> Any:
        return self.network(x[:, :, self.places])
