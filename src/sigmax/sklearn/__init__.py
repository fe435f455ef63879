"""scikit-learn's estimators: softmax regression of hard and soft labels, and calibration of any classifier."""

from ._calibration import TemperatureScaling, VectorScaling
from ._regression import SoftmaxRegression

__all__ = ["SoftmaxRegression", "TemperatureScaling", "VectorScaling"]
