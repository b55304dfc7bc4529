"""What clients attach to. One module or package a plugin."""
