"""How customers leave: the erasure of a person, the export of a person's data, the closing of an organization.

It stands above all rooms because each of these touches every one of them.
"""
