"""Measuring recommendations: metrics over all items, and callbacks that measure during training."""

from penchant.evaluation.callbacks import EarlyStopping, ValidationMetric
from penchant.evaluation.metrics import evaluate

__all__ = ["EarlyStopping", "ValidationMetric", "evaluate"]
