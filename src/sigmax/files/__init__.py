"""Files of logits and labels: found, read in blocks, checked, described, and written whole or not at all."""
