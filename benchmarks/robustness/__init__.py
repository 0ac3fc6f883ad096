"""What wrong labels do, by chance and on purpose, and what bears or stops them."""
