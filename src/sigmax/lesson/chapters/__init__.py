"""One module, one table of texts and one figure script (in ``static/chapters``) for each chapter."""
