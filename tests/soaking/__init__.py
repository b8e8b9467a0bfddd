"""What tests/soak.py is made of. Standard library only."""
