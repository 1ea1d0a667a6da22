"""How customers leave: the erasure of a person, the export of a person's data, the closing of an organization.

It is above all rooms because each of these touches every one of them.
"""
