"""What an actor class says of its actions, events, params and states, and values held against that."""
