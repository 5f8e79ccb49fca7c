"""How the embedded open head is made; nothing here is needed to use it."""
