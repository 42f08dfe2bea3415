"""Pure functions on masks, in millimetres and millilitres, with the definition by name."""
