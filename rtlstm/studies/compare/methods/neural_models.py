"""Neural networks over a window of rows, each in its paper's small standard form (PyTorch).

Every module maps a window (1, rows, inputs) to the change of each column (1, columns).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

UNITS = 32


class Recurrent(nn.Module):
    """nn.RNN, nn.LSTM or nn.GRU of 32 units, and a linear readout of its last output."""

    def __init__(self, kind: Any, inputs: int, columns: int) -> None:
        super().__init__()
        self.cell = kind(inputs, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, columns)

    def forward(self, x: Any) -> Any:
        """Read the window; returns (1, columns)."""
        return self.head(self.cell(x)[0][:, -1])


class Convolutional(nn.Module):
    """Two convolutions of kernel 3 with ReLU, and a linear readout of the last positions."""

    def __init__(self, inputs: int, columns: int, rows: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(inputs, UNITS, 3), nn.ReLU(), nn.Conv1d(UNITS, UNITS, 3), nn.ReLU()
        )
        self.head = nn.Linear(UNITS * (rows - 4), columns)

    def forward(self, x: Any) -> Any:
        """Read the window; returns (1, columns)."""
        return self.head(self.body(x.transpose(1, 2)).flatten(1))


class _TemporalBlock(nn.Module):
    """Two dilated causal convolutions with a residual path (Bai, Kolter & Koltun 2018)."""

    def __init__(self, inputs: int, dilation: int) -> None:
        super().__init__()
        self.pad = 2 * dilation
        self.first = nn.Conv1d(inputs, UNITS, 3, dilation=dilation)
        self.second = nn.Conv1d(UNITS, UNITS, 3, dilation=dilation)
        self.around = nn.Conv1d(inputs, UNITS, 1) if inputs != UNITS else nn.Identity()

    def forward(self, x: Any) -> Any:
        y = torch.relu(self.first(nn.functional.pad(x, (self.pad, 0))))
        y = torch.relu(self.second(nn.functional.pad(y, (self.pad, 0))))
        return torch.relu(y + self.around(x))


class TemporalConvolutional(nn.Module):
    """A TCN of three blocks, dilations 1, 2 and 4 (Bai, Kolter & Koltun 2018)."""

    def __init__(self, inputs: int, columns: int) -> None:
        super().__init__()
        widths = (inputs, UNITS, UNITS)
        self.body = nn.Sequential(*(_TemporalBlock(w, 2**k) for k, w in enumerate(widths)))
        self.head = nn.Linear(UNITS, columns)

    def forward(self, x: Any) -> Any:
        """Read the window; returns (1, columns)."""
        return self.head(self.body(x.transpose(1, 2))[:, :, -1])


class Attention(nn.Module):
    """A Transformer encoder of two layers and four heads (Vaswani et al. 2017)."""

    def __init__(self, inputs: int, columns: int, rows: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, UNITS)
        layer = nn.TransformerEncoderLayer(UNITS, 4, 2 * UNITS, dropout=0.0, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(UNITS, columns)
        at = torch.arange(rows)[:, None]
        rate = torch.exp(torch.arange(0, UNITS, 2) * (-math.log(10_000.0) / UNITS))
        waves = torch.stack([torch.sin(at * rate), torch.cos(at * rate)], dim=-1)
        self.register_buffer("position", waves.reshape(rows, UNITS))

    def forward(self, x: Any) -> Any:
        """Read the window; returns (1, columns)."""
        return self.head(self.body(self.embed(x) + self.position)[:, -1])


class LatentOde(nn.Module):
    """A GRU encodes the window, a neural ODE carries the latent state on (Chen et al. 2018)."""

    def __init__(self, inputs: int, columns: int) -> None:
        super().__init__()
        from torchdiffeq import odeint  # the extra `compare`

        self._solve = odeint
        self.encode = nn.GRU(inputs, UNITS, batch_first=True)
        self.slope = nn.Sequential(nn.Linear(UNITS, UNITS), nn.Tanh(), nn.Linear(UNITS, UNITS))
        self.head = nn.Linear(UNITS, columns)
        self.register_buffer("span", torch.tensor([0.0, 1.0]))

    def forward(self, x: Any) -> Any:
        """Read the window; returns (1, columns)."""
        start = self.encode(x)[0][:, -1]
        end = self._solve(lambda t, z: self.slope(z), start, self.span, method="rk4")[-1]
        return self.head(end)


class NLinear(nn.Module):
    """One linear map over the window less its last row, for all columns (Zeng et al. 2023)."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self.columns, self.map = columns, nn.Linear(rows, 1)
        nn.init.constant_(self.map.weight, 1.0 / rows)

    def forward(self, x: Any) -> Any:
        """Read the window; returns (1, columns)."""
        own = x[:, :, : self.columns]
        return self.map((own - own[:, -1:]).transpose(1, 2))[..., 0]


class DLinear(nn.Module):
    """Linear maps of trend (moving mean of 25 rows) and remainder (Zeng et al. 2023)."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self.columns = columns
        self.trend, self.rest = nn.Linear(rows, 1), nn.Linear(rows, 1)
        for part in (self.trend, self.rest):
            nn.init.constant_(part.weight, 1.0 / rows)

    def forward(self, x: Any) -> Any:
        """Read the window; returns (1, columns)."""
        own = x[:, :, : self.columns].transpose(1, 2)
        wide = nn.functional.pad(own, (12, 12), mode="replicate")
        trend = nn.functional.avg_pool1d(wide, 25, stride=1)
        return (self.trend(trend) + self.rest(own - trend))[..., 0] - own[..., -1]
