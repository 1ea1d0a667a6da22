"""The database backend of the web processes: Django's, with a pool of ours (base.py)."""
