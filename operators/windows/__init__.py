"""Windows over event time, kernel by kernel: what events put into them, when they close, what they are worth."""
