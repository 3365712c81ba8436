"""The API asked all that its own description allows and forbids: `make fuzz`."""
