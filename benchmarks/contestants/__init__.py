"""One module for each contestant; each function makes the step of its name. Missing libraries raise ImportError."""
