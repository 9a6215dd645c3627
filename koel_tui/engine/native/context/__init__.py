"""The KV cache: slots, parked contexts, snapshots, trimming."""
