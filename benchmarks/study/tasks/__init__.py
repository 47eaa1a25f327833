"""Eight families of networks, two tasks each; `TASKS` finds them."""
