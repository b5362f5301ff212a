"""Making a process reward model: sample, label steps by rollouts, train an adapter, merge it."""
