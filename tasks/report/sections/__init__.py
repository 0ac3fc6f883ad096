"""The sections of a report, a module each; `order.py` lists them."""
