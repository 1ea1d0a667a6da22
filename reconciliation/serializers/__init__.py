"""What routes take (inputs.py) and show (outputs.py)."""
