"""Golden messages, and the script that made them."""
