"""From a predictions table to numbers with intervals and figures; needs no model and no torch."""
