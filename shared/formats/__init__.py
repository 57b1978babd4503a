"""Wire formats of the topic ``metrics``: one module each, told apart by the message's attributes."""
