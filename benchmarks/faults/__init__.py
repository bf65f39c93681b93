"""The same faults against Foundry, a plain ProcessPoolExecutor and OpenEvolve."""
