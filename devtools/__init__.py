"""Everything that runs, tests and checks the product on a developer's machine. Never imported by the product itself."""
