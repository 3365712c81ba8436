"""What other programs hold, on its way to the hub: one module for each program, and what they share."""
