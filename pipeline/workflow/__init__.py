"""What DVC does not do by itself: runs side by side, plans, restored and pruned workspaces."""
