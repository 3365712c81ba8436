"""What `make bench` runs. Each module has ``run``, which gives JSON-ready figures, and ``table``, which shows them."""
