"""The best linear adversary on top of a classifier's logits (MLAC, arXiv 2211.14946).

    loss* = min over matrices A with entries in [-1, 1] of the mean cross-entropy of A z

It is what an attacker has who may permute, mix and shrink logits, so a model cannot look safe by
such tricks. The problem is convex. Its minimum's derivative by the logits is that of the loss at
the fixed best A (envelope theorem), so nothing is differentiated through the solver. Where the
logits span fewer directions than there are classes, several A are best and it is a subgradient.

Shapes: N examples, C classes, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from scipy.special import logsumexp
from torch import Tensor


def best_linear_loss(logits_NC: Tensor, targets_N: Tensor) -> Tensor:
    """loss* in nats, at most log C; its gradient is exact, a second one is not defined."""
    matrix_CC = best_matrix_CC(logits_NC, targets_N).to(logits_NC)
    return F.cross_entropy(logits_NC @ matrix_CC.T, targets_N)


def best_linear_word_loss(logits_NV: Tensor, targets_N: Tensor, words: int) -> Tensor:
    """loss* of a language model whose classes are the commonest target words, so many at most.

    Over the positions that ask for one of them, among them alone: a matrix over the vocabulary
    would have its square of entries, and logits span no more directions than the model is wide.
    """
    found_C, counts_C = targets_N.unique(return_counts=True)
    order_C = counts_C.argsort(descending=True, stable=True)
    classes_C = found_C[order_C[:words]].sort().values
    asked_N = torch.isin(targets_N, classes_C)
    labels_N = torch.searchsorted(classes_C, targets_N[asked_N])
    return best_linear_loss(logits_NV[asked_N][:, classes_C], labels_N)


def best_matrix_CC(logits_NC: Tensor, targets_N: Tensor) -> Tensor:
    """The best A, in float64."""
    values_NC = logits_NC.detach().double().cpu().numpy()
    truth_NC = np.eye(values_NC.shape[1])[targets_N.cpu().numpy()]

    def loss(entries: np.ndarray) -> tuple[float, np.ndarray]:
        scores_NC = values_NC @ entries.reshape(truth_NC.shape[1], -1).T
        logs_NC = scores_NC - logsumexp(scores_NC, axis=1, keepdims=True)
        slope_CC = (np.exp(logs_NC) - truth_NC).T @ values_NC / len(values_NC)
        return float(-(truth_NC * logs_NC).sum() / len(values_NC)), slope_CC.ravel()

    start = np.eye(truth_NC.shape[1]).ravel()  # the logits as they are
    exact = {"ftol": 0.0, "gtol": 1e-9, "maxiter": 1000, "maxcor": 50}
    bounds = [(-1.0, 1.0)] * start.size
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=exact)
    return torch.from_numpy(found.x.reshape(truth_NC.shape[1], -1))
