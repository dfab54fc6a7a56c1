"""Painters: each module paints one picture with NumPy and Pillow."""
