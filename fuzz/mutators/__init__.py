"""How cases are made of seeds: each mutator takes a generator, bytes, and the seeds to borrow from, and gives bytes."""
