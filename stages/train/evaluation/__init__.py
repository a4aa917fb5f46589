"""What a trained model knows: features, figures, blind controls."""
