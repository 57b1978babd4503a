"""Long runs: `make soak`. `make test` runs a scaled one of each and leaves these out."""
