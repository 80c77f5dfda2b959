"""What notebooks need: claims, the runner, figures, and families of extremal pairs."""
