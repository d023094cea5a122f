"""What shap and lime do on pictures and texts: parts switched on and off, and the model asked."""
