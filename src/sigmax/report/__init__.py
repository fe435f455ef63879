"""The report: what the probabilities of a model are worth, before and after calibration, in numbers and on a page."""
