"""ICC profiles made of what image files say of their colours in other words."""
