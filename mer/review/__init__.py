"""Which clips a person should look at first, and the exchange of reviews with annotation tools."""
