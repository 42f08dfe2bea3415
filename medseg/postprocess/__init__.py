"""What is done to a label map after the network: components, holes, refinement."""
