"""Files written and verified here, without a server."""
