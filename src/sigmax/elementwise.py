"""Functions of one number: sigmoid and its logarithm, softplus, logit, log1mexp. All are NumPy ufuncs."""

import numpy as np

from . import _core

__all__ = ["log1mexp", "log_sigmoid", "logit", "sigmoid", "softplus"]

# What the five have in common: it closes each docstring.
_COMMON = """
float16, float32, float64 (and bfloat16 where ml_dtypes is installed) keep their type, bool and integers
become float64. NaN gives NaN; no floating-point warning is ever raised. Largest error: float16, bfloat16
and float32 are correctly rounded, float64 {float64}.

Parameters
----------
{x} : array_like of real numbers
    Any shape. {domain}
out, where, dtype, casting, order, subok
    As for every NumPy ufunc.

Returns
-------
ndarray or scalar
    Of the shape of ``{x}``, {range}.

Raises
------
TypeError
    If ``{x}`` is complex, longdouble or not numeric.
"""


def _documented(ufunc: np.ufunc, summary: str, common: dict[str, str], closing: str) -> np.ufunc:
    _core.set_doc(ufunc, summary + _COMMON.format(**common) + closing)
    return ufunc


sigmoid = _documented(
    _core.sigmoid,
    r"""Logistic sigmoid: the share that e^a has in e^a + e^b, for x = a - b.

.. math:: \sigma(x) = \frac{1}{1 + e^{-x}} = \frac{e^x}{e^x + 1}
""",
    {
        "x": "x",
        "domain": "Log-odds (natural logarithm).",
        "range": "in [0, 1]; strictly inside wherever the type can say so",
        "float64": "0.75 ULP, subnormal results included",
    },
    """
See Also
--------
logit : the inverse.
log_sigmoid : its logarithm, exact where ``sigmoid`` is 0 or 1.

References
----------
Verhulst, P. F. (1845). Recherches mathématiques sur la loi d'accroissement de la population.
Cox, D. R. (1958). The regression analysis of binary sequences. doi:10.1111/j.2517-6161.1958.tb00292.x

Examples
--------
>>> import sigmax
>>> sigmax.sigmoid([-2.0, 0.0, 2.0])
array([0.11920292, 0.5       , 0.88079708])
>>> print(sigmax.sigmoid(-710.0))
4.47628622567513e-309
""",
)

log_sigmoid = _documented(
    _core.log_sigmoid,
    r"""Logarithm of the logistic sigmoid.

.. math:: \log\sigma(x) = -\log(1 + e^{-x}) = \min(x, 0) - \log(1 + e^{-|x|})
""",
    {
        "x": "x",
        "domain": "Log-odds (natural logarithm).",
        "range": "in [-inf, 0]",
        "float64": "0.75 ULP",
    },
    r"""
See Also
--------
softplus : ``log_sigmoid(x) == -softplus(-x)``.

References
----------
Mächler, M. (2012). Accurately computing log(1 - exp(-\|a\|)).
https://cran.r-project.org/package=Rmpfr/vignettes/log1mexp-note.pdf

Examples
--------
>>> import sigmax
>>> sigmax.log_sigmoid([-1000.0, 0.0, 40.0])
array([-1.00000000e+03, -6.93147181e-01, -4.24835426e-18])
""",
)

softplus = _documented(
    _core.softplus,
    r"""Softplus, the integral of the sigmoid.

.. math:: \operatorname{softplus}(x) = \log(1 + e^x) = \max(x, 0) + \log(1 + e^{-|x|})
""",
    {
        "x": "x",
        "domain": "",
        "range": "in [0, inf]",
        "float64": "0.75 ULP",
    },
    """
See Also
--------
log_sigmoid : ``softplus(x) == -log_sigmoid(-x)``.

References
----------
Dugas, C. et al. (2000). Incorporating second-order functional knowledge for better option pricing. NIPS 13.

Examples
--------
>>> import sigmax
>>> sigmax.softplus([-40.0, 0.0, 40.0])
array([4.24835426e-18, 6.93147181e-01, 4.00000000e+01])
""",
)

logit = _documented(
    _core.logit,
    r"""Log-odds of a probability, the inverse of the sigmoid.

.. math:: \operatorname{logit}(p) = \log\frac{p}{1 - p}
""",
    {
        "x": "p",
        "domain": "Probabilities in [0, 1]; outside, the result is NaN.",
        "range": "in [-inf, inf], 0 at one half",
        "float64": "0.75 ULP, also close to one half",
    },
    """
See Also
--------
sigmoid : the inverse.
inverse_softmax : for more than two classes.

References
----------
Berkson, J. (1944). Application of the logistic function to bio-assay. doi:10.1080/01621459.1944.10500699

Examples
--------
>>> import sigmax
>>> sigmax.logit([0.0, 0.25, 0.5, 1.0])
array([       -inf, -1.09861229,  0.        ,         inf])
""",
)

log1mexp = _documented(
    _core.log1mexp,
    r"""Logarithm of 1 - e^x: from the logarithm of a probability to that of its complement.

.. math:: \operatorname{log1mexp}(x) = \log(1 - e^x), \quad x \le 0
""",
    {
        "x": "x",
        "domain": "Log-probabilities, at most 0; above, the result is NaN.",
        "range": "in [-inf, 0]",
        "float64": "0.85 ULP",
    },
    r"""
References
----------
Mächler, M. (2012). Accurately computing log(1 - exp(-\|a\|)).
https://cran.r-project.org/package=Rmpfr/vignettes/log1mexp-note.pdf

Examples
--------
>>> import sigmax
>>> sigmax.log1mexp([-1e-20, -1.0, -50.0])
array([-4.60517019e+01, -4.58675145e-01, -1.92874985e-22])
""",
)
