"""What a run knows about its items, and what people are asked about them."""
