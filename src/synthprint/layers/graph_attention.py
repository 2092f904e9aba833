"""The graph layers of AASIST: attention among the nodes of one graph or of two, and pooling.

Jung et al., "AASIST: Audio anti-spoofing using integrated spectro-temporal graph attention networks", ICASSP 2022.
A graph is its nodes [B, N, C]; all of its nodes are connected.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NODE_DROPOUT = 0.2
SCORE_DROPOUT = 0.3


class GraphAttention(nn.Module):
    """Nodes [B, N, C] -> [B, N, D]: each takes in all others, in shares that it finds by multiplying itself with them.

    Args:
        temperature: the logits are divided by it; the higher, the more even the shares.
    """

    def __init__(self, size_in: int, size_out: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.dropout = nn.Dropout(NODE_DROPOUT)
        self.pair = nn.Linear(size_in, size_out)
        self.weight = _weight(size_out)
        self.attended = nn.Linear(size_in, size_out)
        self.own = nn.Linear(size_in, size_out)
        self.norm = nn.BatchNorm1d(size_out)

    def forward(self, nodes: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, D]."""
        nodes = self.dropout(nodes)
        pairs = torch.tanh(self.pair(_products(nodes)))  # [B, N, N, D]
        shares = F.softmax(pairs @ self.weight / self.temperature, dim=2)  # [B, N, N]
        mixed = self.attended(shares @ nodes) + self.own(nodes)  # [B, N, D]
        return F.selu(self.norm(mixed.transpose(1, 2)).transpose(1, 2))


class HeterogeneousGraphAttention(nn.Module):
    """Two graphs [B, N, C] and [B, M, C], put into one space, attend to themselves and to each other.

    There is a weight vector for pairs within the first graph, one within the second, one across. A master node
    takes in all nodes, and gives nothing back.
    """

    def __init__(self, size_in: int, size_out: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.first, self.second = nn.Linear(size_in, size_in), nn.Linear(size_in, size_in)
        self.dropout = nn.Dropout(NODE_DROPOUT)
        self.pair = nn.Linear(size_in, size_out)
        self.weight_first, self.weight_second = _weight(size_out), _weight(size_out)
        self.weight_across = _weight(size_out)
        self.attended = nn.Linear(size_in, size_out)
        self.own = nn.Linear(size_in, size_out)
        self.norm = nn.BatchNorm1d(size_out)
        self.master_pair = nn.Linear(size_in, size_out)
        self.master_weight = _weight(size_out)
        self.master_attended = nn.Linear(size_in, size_out)
        self.master_own = nn.Linear(size_in, size_out)

    def forward(self, first: Tensor, second: Tensor, master: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, N, C], [B, M, C] and the master node [B or 1, 1, C] -> [B, N, D], [B, M, D], [B, 1, D]."""
        nodes = self.dropout(torch.cat([self.first(first), self.second(second)], dim=1))  # [B, N + M, C]
        shares = F.softmax(self._logits(nodes, first.shape[1]) / self.temperature, dim=2)  # [B, N + M, N + M]
        mixed = self.attended(shares @ nodes) + self.own(nodes)  # [B, N + M, D]
        mixed = F.selu(self.norm(mixed.transpose(1, 2)).transpose(1, 2))
        return mixed[:, : first.shape[1]], mixed[:, first.shape[1] :], self._master(nodes, master)

    def _logits(self, nodes: Tensor, n: int) -> Tensor:
        """The first `n` of the nodes [B, N + M, C] are the first graph's -> [B, N + M, N + M]."""
        pairs = torch.tanh(self.pair(_products(nodes)))  # [B, N + M, N + M, D]
        above = torch.cat([pairs[:, :n, :n] @ self.weight_first, pairs[:, :n, n:] @ self.weight_across], dim=2)
        below = torch.cat([pairs[:, n:, :n] @ self.weight_across, pairs[:, n:, n:] @ self.weight_second], dim=2)
        return torch.cat([above, below], dim=1)

    def _master(self, nodes: Tensor, master: Tensor) -> Tensor:
        """[B, N + M, C] and [B or 1, 1, C] -> [B, 1, D]."""
        pairs = torch.tanh(self.master_pair(nodes * master))  # [B, N + M, D]
        shares = F.softmax(pairs @ self.master_weight / self.temperature, dim=1)  # [B, N + M]
        updated: Tensor = self.master_attended(shares[:, None] @ nodes) + self.master_own(master)  # [B, 1, D]
        return updated


class GraphPooling(nn.Module):
    """Nodes [B, N, C] -> the best half [B, N // 2, C], best first, each scaled by its score in 0 … 1.

    What follows pairs the nodes of two graphs by that order, so it belongs to the architecture.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(SCORE_DROPOUT)
        self.score = nn.Linear(size, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """[B, N, C] -> [B, max(1, N // 2), C]."""
        scores = torch.sigmoid(self.score(self.dropout(nodes)))  # [B, N, 1]
        best = scores.topk(max(1, nodes.shape[1] // 2), dim=1).indices  # [B, K, 1]
        return (nodes * scores).gather(1, best.expand(-1, -1, nodes.shape[2]))


def _products(nodes: Tensor) -> Tensor:
    """Every node times every other, element by element: [B, N, C] -> [B, N, N, C]."""
    return nodes[:, :, None] * nodes[:, None]


def _weight(size: int) -> nn.Parameter:
    """The vector [D] that makes a logit of a pair; Xavier normal, as a matrix [D, 1]."""
    weight = nn.Parameter(torch.empty(size))
    nn.init.xavier_normal_(weight[:, None])
    return weight
