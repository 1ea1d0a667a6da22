"""What the admin pages of all rooms are built with, and the pages of the kernel's own tables (pages.py)."""
